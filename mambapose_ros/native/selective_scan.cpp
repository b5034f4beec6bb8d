// The library: kernels for several instruction sets, the choice between them, and threads.
#include "selective_scan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

// An operation that splits into tasks without order.
template <class Arguments>
struct Kernel {
  int64_t (*tasks)(const Arguments&);
  void (*run)(const Arguments&, int64_t task);
};

struct Kernels {
  Kernel<Scan> scan;
  Kernel<ScanGradient> scan_gradient;
  Kernel<Convolution> convolution;
  Kernel<CrossScan> cross_scan;
  Kernel<CrossScanGradient> cross_scan_gradient;
  Kernel<Gate> gate;
};

namespace generic {
#define LANES 4
#define TARGET
#include "kernels.inl"
}  // namespace generic

#if defined(__x86_64__)
namespace avx2 {
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "kernels.inl"
}  // namespace avx2

namespace avx512 {
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma")))
#include "kernels.inl"
}  // namespace avx512
#endif

struct InstructionSet {
  const char* name;
  bool supported;
  const Kernels* kernels;
};

// Best first.
const InstructionSet instruction_sets[] = {
#if defined(__x86_64__)
    {"avx512",
     __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"),
     &avx512::kernels},
    {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), &avx2::kernels},
#endif
    {"generic", true, &generic::kernels},
};

const InstructionSet* best_instruction_set() {
  return std::find_if(std::begin(instruction_sets), std::end(instruction_sets),
                      [](const InstructionSet& set) { return set.supported; });
}

const InstructionSet* chosen = best_instruction_set();

template <class Arguments>
void run(const Kernel<Arguments>& kernel, const Arguments& arguments, int threads) {
  const int64_t tasks = kernel.tasks(arguments);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (tasks > 1 && threads > 1)
  for (int64_t task = 0; task < tasks; ++task) kernel.run(arguments, task);
}

}  // namespace

extern "C" {

// Lets the process keep up to 128 MiB of what it freed. By default glibc returns the megabytes of a
// forward pass to the system after each layer and gets them back page by page, which costs as much
// as the arithmetic of a long window.
void mambapose_keep_freed_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
}

const char* mambapose_instruction_set() { return chosen->name; }

// Uses another instruction set than the best one, for tests; 0 if this processor lacks it.
int mambapose_choose_instruction_set(const char* name) {
  for (const InstructionSet& set : instruction_sets) {
    if (set.supported && std::strcmp(set.name, name) == 0) {
      chosen = &set;
      return 1;
    }
  }
  return 0;
}

void mambapose_scan(const Scan* a, int threads) { run(chosen->kernels->scan, *a, threads); }

void mambapose_scan_gradient(const ScanGradient* a, int threads) {
  run(chosen->kernels->scan_gradient, *a, threads);
}

void mambapose_convolution(const Convolution* a, int threads) {
  run(chosen->kernels->convolution, *a, threads);
}

void mambapose_cross_scan(const CrossScan* a, int threads) {
  run(chosen->kernels->cross_scan, *a, threads);
}

void mambapose_cross_scan_gradient(const CrossScanGradient* a, int threads) {
  run(chosen->kernels->cross_scan_gradient, *a, threads);
}

void mambapose_gate(const Gate* a, int threads) { run(chosen->kernels->gate, *a, threads); }
}
