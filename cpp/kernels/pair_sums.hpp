// Sums over pairs, and how those of two tiles become one.
#pragma once

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

// Moments about a shift, which is the first value added: near all others where they hardly differ.
struct ShiftedSums {
    double count = 0, shift = 0, sum = 0, squares = 0;

    void add(const double* values, Index n) {
        if (n == 0) return;
        if (count == 0) shift = values[0];
        const double s = shift;
        double total = 0, total_squares = 0;
#pragma omp simd reduction(+ : total, total_squares)
        for (Index j = 0; j < n; ++j) {
            const double x = values[j] - s;
            total += x;
            total_squares += x * x;
        }
        count += static_cast<double>(n);
        sum += total;
        squares += total_squares;
    }

    Moments moments() const {
        if (count == 0) return {0, 0, 0};
        return {count, shift + sum / count, larger(squares - sum * sum / count, 0.0)};
    }
};

inline void merge(Moments& into, const Moments& part) {
    if (part.count == 0) return;
    const double total = into.count + part.count;
    const double step = part.mean - into.mean;
    into.squares += part.squares + step * step * into.count * part.count / total;
    into.mean += step * part.count / total;
    into.count = total;
}

inline void merge(PairSums& into, const PairSums& part) {
    merge(into.cosines, part.cosines);
    into.cosine_excess += part.cosine_excess;
    into.coherence = larger(into.coherence, part.coherence);
    into.shifted_squares += part.shifted_squares;
    into.etf_errors += part.etf_errors;
    into.etf_error_squares += part.etf_error_squares;
    into.ratios += part.ratios;
    into.coincident += part.coincident;
    merge(into.kernel, part.kernel);
    into.same_direction += part.same_direction;
}

}  // namespace ncfast::NCFAST_ISA
