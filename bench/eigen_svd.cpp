// Seconds that Eigen's divide and conquer takes for the singular values of a frame, and then the values: a
// frame of doubles, row by row, is read from a file, its shape and the number of repeats are arguments.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <Eigen/SVD>

int main(int, char** arguments) {
    const Eigen::Index rows = std::atol(arguments[2]), cols = std::atol(arguments[3]);
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> frame(rows, cols);
    std::FILE* file = std::fopen(arguments[1], "rb");
    const auto size = static_cast<std::size_t>(rows * cols);
    if (file == nullptr || std::fread(frame.data(), sizeof(double), size, file) != size) return 1;
    Eigen::VectorXd values;
    for (int repeat = 0; repeat < std::atoi(arguments[4]); ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        values = Eigen::BDCSVD<Eigen::MatrixXd>(frame).singularValues();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        std::printf("%.9f\n", took.count());
    }
    for (const double value : values) std::printf("%.17g\n", value);
}
