#include "dispatch/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

#include "levels.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ncfast {

// levels.hpp, which the build writes, defines NCFAST_LEVELS(X) as X(identifier) for each level compiled in,
// lowest first.
#define NCFAST_DECLARE(id)          \
    namespace id {                  \
    extern const KernelTable table; \
    }
NCFAST_LEVELS(NCFAST_DECLARE)
#undef NCFAST_DECLARE

namespace {

struct Level {
    std::string name;
    const KernelTable* table;
};

#if defined(__x86_64__) && defined(__linux__) && defined(NCFAST_X86_LEVELS)
// Whether there is a tile unit for bfloat16 and for bytes, and the system lets this process use it, which has
// to be asked for.
bool has_tiles() {
    constexpr unsigned kUnit = 1U << 24 | 1U << 22 | 1U << 25;  // leaf 7, EDX: tiles, bfloat16, bytes
    constexpr unsigned kConversions = 1U << 5;                  // leaf 7.1, EAX
    constexpr long kRequestState = 0x1023, kTileData = 18;      // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    if ((edx & kUnit) != kUnit) return false;
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & kConversions)) return false;
    return syscall(SYS_arch_prctl, kRequestState, kTileData) == 0;
}
#else
bool has_tiles() { return false; }
#endif

bool processor_has(const std::string& level) {
#if defined(__x86_64__) && defined(NCFAST_X86_LEVELS)
    if (level == "x86-64-v2") return __builtin_cpu_supports("x86-64-v2");
    if (level == "x86-64-v3") return __builtin_cpu_supports("x86-64-v3");
    if (level == "x86-64-v4") return __builtin_cpu_supports("x86-64-v4");
    if (level == "x86-64-vnni")
        return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni");
    if (level == "x86-64-amx") return __builtin_cpu_supports("x86-64-v4") && has_tiles();
#endif
    return level == "baseline";
}

std::string spelled(std::string identifier) {
    // x86_64_v3 -> x86-64-v3; the others have no underscore.
    for (char& c : identifier) c = c == '_' ? '-' : c;
    return identifier;
}

std::vector<Level> find_levels() {
    std::vector<Level> levels;
    const auto offer = [&levels](const char* identifier, const KernelTable& table) {
        if (processor_has(spelled(identifier))) levels.push_back({spelled(identifier), &table});
    };
#define NCFAST_OFFER(id) offer(#id, id::table);
    NCFAST_LEVELS(NCFAST_OFFER)
#undef NCFAST_OFFER
    return levels;
}

std::string names_of(const std::vector<Level>& levels) {
    std::string names;
    for (const Level& level : levels) names += (names.empty() ? "" : ", ") + level.name;
    return names.empty() ? "none" : names;
}

Level choose_level() {
    const std::vector<Level> levels = find_levels();
    const char* forced = std::getenv("NCFAST_ISA");
    if (forced != nullptr && *forced != '\0') {
        for (const Level& level : levels) {
            if (level.name == forced) return level;
        }
        throw std::runtime_error("NCFAST_ISA is '" + std::string(forced) +
                                 "', but the levels available here are: " + names_of(levels));
    }
    if (levels.empty())
        throw std::runtime_error("this processor lacks the instructions ncfast was built for");
    return levels.back();
}

const Level& chosen() {
    static const Level level = choose_level();
    return level;
}

}  // namespace

std::vector<std::string> available_levels() {
    std::vector<std::string> names;
    for (const Level& level : find_levels()) names.push_back(level.name);
    return names;
}

const std::string& level_in_use() { return chosen().name; }

const KernelTable& kernels() { return *chosen().table; }

template <>
const FeatureKernels<float>& feature_kernels<float>() {
    return kernels().f32;
}

template <>
const FeatureKernels<double>& feature_kernels<double>() {
    return kernels().f64;
}

}  // namespace ncfast
