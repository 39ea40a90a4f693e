// Banded temporal attention: softmax(q·k·scale + bias) v over the frames t-left … t+right of the same joint.
//
//   bias      (H, left + right + 1) float, bias[h, s - t + left]; absent: none
//   lengths   (B), keys and queries from lengths[b] on do not exist; absent: T
//   out       like q, any strides, unit last stride
//   lse       (B, T, J, H) float, log2 of the sum of exponentials, -inf where a query has no key
#pragma once

#include "attention/attention.h"

namespace olift {

struct Banded : Attention {
  Array<const float> bias;
  Array<const int64_t> lengths;
  int64_t left, right;
};

struct BandedForward : Banded {
  Tensor out;
  Array<float> lse;  // absent: not wanted
};

// The gradients of out's inputs from dout, with the forward's lse; an absent dbias is not wanted.
// Each key's gradient is gathered from the queries in its band: no atomics. dq, dk, dv are written everywhere, 0 where
// hidden.
struct BandedBackward : Banded {
  Array<const float> lse;
  Tensor dout, dq, dk, dv;
  Array<float> dbias;
};

// One query for each batch entry, joint and head against keys and values in ring buffers, in which frame s is in slot
// s % slots.
//
//   q                 (B, slots of q, J, H, Dh); the query is frame frames[b]
//   k, v              (B, slots, J, H, Dh)
//   visible           (B, slots of visible, J)
//   frames, lengths   (B); k and v hold frames lengths[b] - slots … lengths[b] - 1; a query at no frame of
//                     0 … lengths[b] - 1 gives 0
//   out               (B, J, H, Dh), contiguous
struct BandedStep : Banded {
  Array<const int64_t> frames;
  Tensor out;
};

}  // namespace olift
