#include "kernels/kernels.hpp"

namespace ncfast::NCFAST_ISA {

void row_products(const RowProductsJob& job) {
    const Index cols = job.left.cols;
#pragma omp parallel for schedule(static) num_threads(job.threads) if (job.threads > 1)
    for (Index k = 0; k < job.left.rows; ++k) {
        const double* a = job.left.data + k * job.left.stride;
        const double* b = job.right + k * job.right_stride;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < cols; ++j) sum += a[j] * b[j];
        job.products[k] = sum;
    }
}

}  // namespace ncfast::NCFAST_ISA
