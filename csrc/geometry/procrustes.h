// The arguments of the kernels for weighted rigid, similarity or rotation-only alignment of point sets.
#pragma once

#include "common/tensor.h"

namespace olift {

enum class Alignment : int { kRigid = 0, kSimilarity = 1, kRotation = 2 };

enum class ProcrustesStep : int {
  kFit = 0,
  kFitGradient = 1,
  kError = 2,
  kErrorGradient = 3,
  kAlign = 4,
  kAlignGradient = 5
};

struct Strides2 {  // in elements; coordinates have stride 1
  int64_t problem, point;
};

// source (N, P, 3), target (N, P, 3) or (N, P, 2), and weights (N, P) have any strides; null weights mean 1 for all. A
// point of weight 0 is never read into a fit. All else is contiguous, and all arrays have one dtype, float or double.
struct PointSets {
  const void *source, *target, *weights;
  void *grad_source, *grad_target, *grad_weights;  // shaped as source, target and weights; null if not wanted
  void* moved;                                     // (N, P, 3), the source after the fit
  const void* grad_moved;                          // the gradient of `moved`
  int64_t count, points;
  Dtype dtype;
  Strides2 source_strides, target_strides, weights_strides;
  int threads;  // of the CPU kernels
};

// The fit, target ≈ scale · rotation · source + translation, is rotation (N, 3, 3), scale (N), translation (N, 3),
// conditioning (N); the error is Σ w |residual|² / Σ w (N).
//
// kFit           writes the fit.
// kFitGradient   reads rotation, scale, conditioning and the gradients of the fit; writes the gradients of the points.
// kError         writes rotation, scale and error.
// kErrorGradient reads rotation, scale, error and the gradient of the error; writes the gradients of the points.
// kAlign         writes rotation, scale, conditioning, and all moved points of the source, also those of weight 0.
// kAlignGradient reads these three and the gradient of the moved points; writes the gradients of the points.
struct Procrustes : PointSets {
  ProcrustesStep step;
  void *rotation, *scale, *translation, *conditioning, *error;
  const void *grad_rotation, *grad_scale, *grad_translation, *grad_error;
  Alignment kind;
  bool reflection;
};

// Runs on the current device's stream `stream` (a cudaStream_t), without waiting for it. Returns the text of a CUDA
// error, or null. `workspace` has room for procrustes_workspace() doubles.
const char* procrustes_cuda(const Procrustes&, double* workspace, void* stream);
int64_t procrustes_workspace(int64_t count, int64_t points);

}  // namespace olift
