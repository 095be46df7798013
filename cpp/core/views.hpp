// Plain views of memory that others own. Aggregates without member functions: these types cross the
// border between code compiled for different instruction sets, so they must not emit any code.
#pragma once

#include <cstdint>

namespace ncfast {

using Index = std::int64_t;

/// Row-major matrix whose columns are contiguous and whose rows are `stride` elements apart.
template <class T>
struct Rows {
    const T* data;
    Index rows;
    Index cols;
    Index stride;
};

/// Matrix stored by rows (col_step 1) or by columns (row_step 1).
template <class T>
struct Matrix {
    const T* data;
    Index rows, cols;
    Index row_step, col_step;
};

/// Consecutive positions [begin, end) of a grouped row order that hold rows of one class.
/// `slot` names the partial sum it writes, or -1 when it is its class's only run.
struct ClassRun {
    Index cls;
    Index begin;
    Index end;
    Index slot;
};

}  // namespace ncfast
