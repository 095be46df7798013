// The one thing a level exports: its kernels as function pointers.
#pragma once

#include "core/jobs.hpp"
#include "core/ufm.hpp"

namespace ncfast {

/// Kernels for features of type T.
template <class T>
struct FeatureKernels {
    void (*screen)(const ScreenJob<T>&);
    void (*class_sums)(const ClassSumsJob<T>&);
    void (*scatter)(const ScatterJob<T>&);
    void (*scatter_double)(const ScatterJob<T>&);  // products in double
    void (*class_scatters)(const ClassScattersJob<T>&);
    void (*class_scatters_double)(const ClassScattersJob<T>&);
    void (*project)(const ProjectJob<T, T>&);
    void (*project_double)(const ProjectJob<T, double>&);  // products in double
    void (*decide)(const DecideJob<T>&);
    void (*pairs)(const PairsJob<T>&);
};

/// Kernels of the unconstrained-features dynamics.
struct UfmKernels {
    void (*tails)(const ufm::Chain&, int threads);  // multiplies the tails anew
    void (*columns)(const ufm::ColumnsJob&);
    void (*chain_gradient)(const ufm::ChainGradientJob&);
    void (*update)(const ufm::UpdateJob&);
    void (*levels)(const ufm::LevelsJob&);
};

struct KernelTable {
    FeatureKernels<float> f32;
    FeatureKernels<double> f64;
    void (*gram)(const GramJob&);
    void (*row_products)(const RowProductsJob&);
    void (*row_distances)(const RowDistancesJob&);
    void (*frame_mean)(const FrameMeanJob&);
    void (*centre)(const CentreJob&);
    void (*rounded)(const RoundedJob&);
    void (*mirror)(const MirrorJob&);
    void (*rounding)(const RoundingJob&);
    UfmKernels ufm;
};

}  // namespace ncfast
