// Attention over the joints of a frame: softmax(q_i·k_j·scale) v_j over the joints j that query i may see.
//
//   graph         (B, H, J, J), any strides, false where a query (row) may not see a key (column); absent: all may
//   out           like q, any strides, unit last stride
//   lse           (B, T, J, H) float, log2 of the sum of exponentials, -inf where a query has no key
//
// A key that the graph shows to no query is never read into arithmetic, nor is a query without any key.
#pragma once

#include "attention/attention.h"

namespace olift {

struct Joint : Attention {
  Strided<const bool> graph;
};

struct JointForward : Joint {
  Tensor out;
  Array<float> lse;  // absent: not wanted
};

// The gradients of q, k, v from dout, with the forward's lse. dq, dk, dv are written everywhere: 0 for keys that no
// query sees, and for queries without a key.
struct JointBackward : Joint {
  Array<const float> lse;
  Tensor dout, dq, dk, dv;
};

}  // namespace olift
