// The arguments of the kernels that align weighted point sets with their pictures under a weak-perspective camera.
#pragma once

#include "geometry/procrustes.h"

namespace olift {

enum class OrthographicStep : int { kFit = 0, kFitGradient = 1, kMoments = 2 };

// The fit, target ≈ scale · (rotation · source)_xy + translation, is rotation (N, 3, 3), scale (N), translation (N, 2).
//
// kFit         writes the fit.
// kFitGradient reads rotation, scale and the gradients of the fit; writes the gradients of the points.
// kMoments     reads, in place of points, spread (N, 3, 3) = Σ w source sourceᵀ and cross (N, 3, 2) =
//              Σ w source targetᵀ about the centroids; writes rotation and scale.
struct Orthographic : PointSets {
  OrthographicStep step;
  void *rotation, *scale, *translation;
  const void *spread, *cross;
  const void *grad_rotation, *grad_scale, *grad_translation;
};

}  // namespace olift
