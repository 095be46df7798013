// Decisions where rounding could matter: from the numbers as they were given.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

template <class T>
constexpr double unit() {
    return std::numeric_limits<T>::epsilon() / 2;
}

struct Interval {
    double low, high;
};

// The score in double, with a bound on its rounding.
template <class T>
Interval score_in_double(const Rows<T>& h, const ExactRule& rule, Index row, Index cls) {
    const T* x = h.data + row * h.stride;
    const double* point = rule.points + cls * h.cols;
    double sum = 0, size = 0;
    if (rule.by_distance) {
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < h.cols; ++j) {
            const double gap = static_cast<double>(x[j]) - point[j];
            sum -= gap * gap;
        }
        size = -sum;
    } else {
#pragma omp simd reduction(+ : sum, size)
        for (Index j = 0; j < h.cols; ++j) {
            const double product = static_cast<double>(x[j]) * point[j];
            sum += product;
            size += std::abs(product);
        }
    }
    const double score = sum + rule.constants[cls];
    const double error = unit<double>() * (static_cast<double>(h.cols) + 8) * (size + std::abs(score));
    return {score - error, score + error};
}

// Extended precision, and the numbers as they were given: equal scores come out equal.
template <class T>
long double exact_score(const Rows<T>& h, const ExactRule& rule, Index row, Index cls) {
    const T* values = h.data + row * h.stride;
    const double* point = rule.points + cls * h.cols;
    long double score = rule.constants[cls];
    for (Index j = 0; j < h.cols; ++j) {
        const long double x = values[j];
        const long double p = point[j];
        score += rule.by_distance ? -(x - p) * (x - p) : x * p;
    }
    return score;
}

// The smallest of `count` classes, those listed or all, whose score is largest. Classes that double cannot
// tell apart are scored exactly.
template <class T>
Index settle(const Rows<T>& h, const ExactRule& rule, Index row, const Index* classes, Index count) {
    const auto at = [&](Index c) { return classes != nullptr ? classes[c] : c; };
    constexpr double kCannotWin = -std::numeric_limits<double>::infinity();
    Eigen::VectorXd highs(count);
    double best_low = kCannotWin;
    for (Index c = 0; c < count; ++c) {
        highs[c] = kCannotWin;
        if (rule.constants[at(c)] == kCannotWin) continue;
        const Interval score = score_in_double(h, rule, row, at(c));
        highs[c] = score.high;
        best_low = larger(best_low, score.low);
    }
    Index left = 0, winner = at(0);
    for (Index c = count - 1; c >= 0; --c) {
        if (highs[c] < best_low) continue;
        ++left;
        winner = at(c);
    }
    if (left == 1) return winner;
    long double best = kCannotWin;
    for (Index c = 0; c < count; ++c) {
        if (highs[c] < best_low || highs[c] == kCannotWin) continue;
        const long double score = exact_score(h, rule, row, at(c));
        if (score > best) {
            best = score;
            winner = at(c);
        }
    }
    return winner;
}

}  // namespace ncfast::NCFAST_ISA
