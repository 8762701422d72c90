// Hot kernels allocate nothing once their workspace has grown: every operator new of the process is counted here.
#include <Eigen/Core>
#include <atomic>
#include <cstdlib>
#include <new>

#include "support.hpp"
#include "workbench/ewma.hpp"
#include "workbench/gate.hpp"
#include "workbench/limits.hpp"
#include "workbench/ofi.hpp"
#include "workbench/ridge.hpp"
#include "workbench/simplex.hpp"
#include "workbench/softmax.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size ? size : 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size ? size : 1); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

using namespace workbench;
using test::Numbers;

namespace {

// Allocations of the second call; Eigen, which uses malloc, asserts on its own in the build with assertions.
template <class Kernel>
long second_call(Kernel kernel) {
    kernel();
    const long before = allocations;
    Eigen::internal::set_is_malloc_allowed(false);
    kernel();
    Eigen::internal::set_is_malloc_allowed(true);
    return allocations - before;
}

}  // namespace

TEST_CASE("hot kernels allocate nothing") {
    test::Random random(1);
    const std::size_t n = 100, horizons = 9;
    const Numbers x = random.normals(n, 0.1), p = random.uniforms(n, 0.0, 1.0), cap(n, 0.05), leverage(n, 1.0);
    const Numbers panel = random.normals(n * horizons), vol(n * horizons, 1.0);
    Numbers out(n), matrix(n * n, 0.0), many(n * horizons), workspace;
    for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] = 1.0;
    LimitsWorkspace limits;
    RidgeWorkspace ridge;

    CHECK(second_call([&] { barrier_gate_batch(p, p, {0.2, 1.0, 0.5}, out); }) == 0);
    CHECK(second_call([&] { barrier_gate_batch(p, p, {0.2, 1.3, 0.7}, out); }) == 0);
    CHECK(second_call([&] { ofi_batch({p, p, p, p}, {x, x, p, p}, out); }) == 0);
    CHECK(second_call([&] { project_simplex(x, workspace, out); }) == 0);
    CHECK(second_call([&] {
              horizon_softmax({panel.data(), n, horizons}, {vol.data(), n, horizons}, 1.0, workspace, out);
          }) == 0);
    CHECK(second_call([&] { ewma_vol({panel.data(), horizons, n}, 0.1, workspace, {many.data(), horizons, n}); }) == 0);
    CHECK(second_call([&] { project_limits(x, {cap, 0.5, 0.05, leverage}, {}, limits, out); }) == 0);
    CHECK(second_call([&] { risk_parity_ridge(x, {matrix.data(), n, n}, 1.0, ridge, out); }) == 0);
}
