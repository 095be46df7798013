// The kernels of one instruction-set level; each is defined and instantiated in the source of its name, plain
// passes over frames in `frames`.
#pragma once

#include "core/ufm.hpp"
#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

template <class T>
void screen(const ScreenJob<T>& job);
template <class T>
void class_sums(const ClassSumsJob<T>& job);
template <class T, class P>
void scatter(const ScatterJob<T>& job);
template <class T, class P>
void class_scatters(const ClassScattersJob<T>& job);
template <class T, class P>
void project(const ProjectJob<T, P>& job);
template <class T>
void decide(const DecideJob<T>& job);
template <class P>
void pairs(const PairsJob<P>& job);
void gram(const GramJob& job);
void row_products(const RowProductsJob& job);
void row_distances(const RowDistancesJob& job);
void frame_mean(const FrameMeanJob& job);
void centre(const CentreJob& job);
void rounded(const RoundedJob& job);
void mirror(const MirrorJob& job);
void rounding(const RoundingJob& job);

void ufm_tails(const ufm::Chain& chain, int threads);
void ufm_columns(const ufm::ColumnsJob& job);
void ufm_chain_gradient(const ufm::ChainGradientJob& job);
void ufm_update(const ufm::UpdateJob& job);
void ufm_levels(const ufm::LevelsJob& job);

}  // namespace ncfast::NCFAST_ISA
