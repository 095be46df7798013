// Steps of a variable along its gradient.
#pragma once

#include <cmath>

#include "core/ufm.hpp"
#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

/// Moves `size` neighbouring entries from `first` on; gradient(i) is that of entry first + i.
template <class G>
void move(const ufm::Variable& variable, Index first, Index size, const ufm::Rule& rule, const G& gradient) {
    double* x = variable.values + first;
    if (rule.adam) {
        double* m = variable.memory[0] + first;
        double* v = variable.memory[1] + first;
        for (Index i = 0; i < size; ++i) {
            const double g = gradient(i);
            m[i] = rule.beta1 * m[i] + (1 - rule.beta1) * g;
            v[i] = rule.beta2 * v[i] + (1 - rule.beta2) * g * g;
            x[i] -=
                rule.step * (m[i] * rule.correction1) / (std::sqrt(v[i] * rule.correction2) + rule.epsilon);
        }
    } else if (rule.momentum == 0) {
#pragma omp simd
        for (Index i = 0; i < size; ++i) x[i] -= rule.step * gradient(i);
    } else {
        double* v = variable.memory[0] + first;
        const double ahead = rule.nesterov ? rule.momentum : 1;
        const double now = rule.nesterov ? 1 : 0;
#pragma omp simd
        for (Index i = 0; i < size; ++i) {
            const double g = gradient(i);
            v[i] = rule.momentum * v[i] + g;
            x[i] -= rule.step * (now * g + ahead * v[i]);
        }
    }
}

}  // namespace ncfast::NCFAST_ISA
