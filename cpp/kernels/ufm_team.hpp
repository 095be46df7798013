// Independent units of work for a team of threads.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

/// Calls work(unit, thread) for all units. One thread enters no parallel region: even an inactive one costs
/// more than an iteration of a small problem.
template <class Work>
void for_units(Index units, int threads, const Work& work) {
    if (threads <= 1) {
        for (Index u = 0; u < units; ++u) work(u, Index{0});
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (Index u = 0; u < units; ++u) work(u, Index{omp_get_thread_num()});
#endif
}

}  // namespace ncfast::NCFAST_ISA
