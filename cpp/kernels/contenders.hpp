// The search for the class of the highest score, when scores are known up to an error.
#pragma once

#include <limits>

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

constexpr Index kMaxCandidates = 32;
constexpr Index kChunk = 32;  // classes whose scores are looked over at once

/// The classes that may still win: those whose highest possible score reaches the best lowest one.
template <class T>
struct Contenders {
    T best_low = -std::numeric_limits<T>::infinity();
    T lost = -std::numeric_limits<T>::infinity();           // highest score of those there was no room for
    T dropped_below = -std::numeric_limits<T>::infinity();  // best_low when the beaten were last dropped
    Index count = 0;
    Index classes[kMaxCandidates];
    T highs[kMaxCandidates];

    void drop_beaten() {
        if (dropped_below == best_low) return;
        dropped_below = best_low;
        Index kept = 0;
        for (Index c = 0; c < count; ++c) {
            if (!(highs[c] >= best_low)) continue;
            classes[kept] = classes[c];
            highs[kept++] = highs[c];
        }
        count = kept;
    }

    void add(Index cls, T high) {
        if (count == kMaxCandidates) drop_beaten();
        if (count == kMaxCandidates) {
            lost = larger(lost, high);
            return;
        }
        classes[count] = cls;
        highs[count++] = high;
    }

    // Whether all classes that may still win are listed.
    bool complete() {
        drop_beaten();
        return count > 0 && !(lost >= best_low);
    }

    // Scores of a tile of classes lie below `chunks` times kChunk highs, one of them above `low`. Highs of
    // -inf fill the last chunk up; any finite `low` beats them.
    void add_tile(T low, const T* tile_highs, Index chunks, Index first_class) {
        best_low = larger(best_low, low);
        for (Index c = 0; c < chunks; ++c, tile_highs += kChunk, first_class += kChunk) {
            T high = tile_highs[0];
#pragma omp simd reduction(max : high)
            for (Index k = 0; k < kChunk; ++k) high = tile_highs[k] > high ? tile_highs[k] : high;
            if (high < best_low) continue;
            for (Index k = 0; k < kChunk; ++k) {
                if (tile_highs[k] >= best_low) add(first_class + k, tile_highs[k]);
            }
        }
    }
};

}  // namespace ncfast::NCFAST_ISA
