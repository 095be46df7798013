// The one thing a level exports: its kernels as function pointers.
#pragma once

#include "core/jobs.hpp"

namespace ncfast {

/// Kernels for features of type T.
template <class T>
struct FeatureKernels {
    void (*screen)(const ScreenJob<T>&);
    void (*pivots)(const PivotsJob<T>&);
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

struct KernelTable {
    FeatureKernels<float> f32;
    FeatureKernels<double> f64;
    void (*gram)(const GramJob&);
};

}  // namespace ncfast
