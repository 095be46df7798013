#include "kernels/table.hpp"

#include "kernels/kernels.hpp"

namespace ncfast::NCFAST_ISA {

extern const KernelTable table;

template <class T>
constexpr FeatureKernels<T> feature_kernels() {
    return {screen<T>,
            class_sums<T>,
            scatter<T, T>,
            scatter<T, double>,
            class_scatters<T, T>,
            class_scatters<T, double>,
            project<T, T>,
            project<T, double>,
            decide<T>,
            pairs<T>};
}

const KernelTable table = {feature_kernels<float>(),
                           feature_kernels<double>(),
                           gram,
                           row_products,
                           row_distances,
                           frame_mean,
                           centre,
                           rounded,
                           mirror,
                           rounding,
                           {ufm_tails, ufm_columns, ufm_chain_gradient, ufm_update, ufm_levels}};

}  // namespace ncfast::NCFAST_ISA
