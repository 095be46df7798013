// Maps of a columns job, turned over.
#pragma once

#include "kernels/ufm_products.hpp"

namespace ncfast::NCFAST_ISA {

/// The maps turned over once a pass, where every tile would have to gather their columns again.
class TurnedMaps {
  public:
    explicit TurnedMaps(const ufm::ColumnsJob& job)
        : job_(job), values_(new RowMajor<double>[static_cast<std::size_t>(job.num_maps)]) {
        for (Index m = 0; m < job.num_maps; ++m) {
            const Panel& map = job.maps[m];
            if (is_small(map.rows, map.cols, job.tiles.width)) continue;
            values_[m].resize(map.cols, map.rows);
            for_units(blocks_of(map.rows, kSplit), job.threads, [&](Index u, Index) {
                const Index rows = smaller(kSplit, map.rows - u * kSplit);
                values_[m].middleCols(u * kSplit, rows) =
                    view(map, map.cols).middleRows(u * kSplit, rows).transpose();
            });
        }
    }
    ~TurnedMaps() { delete[] values_; }
    TurnedMaps(const TurnedMaps&) = delete;
    TurnedMaps& operator=(const TurnedMaps&) = delete;

    /// out = A^T B for map m.
    void multiply_by(Index m, const Panel& b, const Panel& out) const {
        RowMajor<double>& turned = values_[m];
        if (turned.size() == 0) {
            multiply(job_.maps[m], true, b, b.stride, out);
        } else {
            multiply({turned.data(), turned.rows(), turned.cols(), turned.cols()}, false, b, b.stride, out);
        }
    }

  private:
    const ufm::ColumnsJob& job_;
    RowMajor<double>* values_;
};

}  // namespace ncfast::NCFAST_ISA
