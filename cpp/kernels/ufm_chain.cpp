#include "kernels/kernels.hpp"
#include "kernels/ufm_products.hpp"

namespace ncfast::NCFAST_ISA {

void ufm_tails(const ufm::Chain& chain, int threads) {
    for (Index i = chain.num_layers - 2; i >= 0; --i) {
        multiply_by_team(chain.tails[i + 1], false, chain.layers[i], chain.tails[i], threads);
    }
}

// With T the tail above a layer and R the gradient of the product times (the layers below)^T, the layer's
// gradient is T^T R. Only matrices with as many rows as there are outputs are ever multiplied.
void ufm_chain_gradient(const ufm::ChainGradientJob& job) {
    const Index last = job.chain.num_layers - 1;
    for (Index i = 0; i < last; ++i) {
        multiply_by_team(job.chain.tails[i + 1], true, job.rests[i], job.gradients[i], job.threads);
        outer_by_team(job.rests[i], job.chain.layers[i], job.rests[i + 1], job.threads);
    }
}

}  // namespace ncfast::NCFAST_ISA
