// Procrustes alignment on the CPU; compiled once for each instruction set (OLIFT_ISA names it).

#include "geometry/procrustes_steps.h"

#include "common/isa.h"
#include "geometry/point_sets.h"

namespace {

using namespace olift;

template <class Real, bool Weighted>
void run(const Procrustes& p) {
  const bool shifted = p.kind != Alignment::kRotation;
  for_each_problem<Real, Weighted, 3>(p, shifted, [&](auto number, const Lane<Real>& lane, auto& sets) {
    solve<typename decltype(number)::Type>(p, lane, sets);
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(procrustes)(const Procrustes& p) {
  if (p.dtype == Dtype::kFloat64) p.weights ? run<double, true>(p) : run<double, false>(p);
  else p.weights ? run<float, true>(p) : run<float, false>(p);
}

}  // namespace olift
