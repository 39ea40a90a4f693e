// Views of the caller's tensors: address, layout and element type.
#pragma once

#include <cstdint>

#include "common/hd.h"

namespace olift {

enum class Dtype { kFloat32, kFloat64, kBFloat16, kInt16, kInt64, kBool, kUInt8 };

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::kFloat32;
};
template <>
struct DtypeOf<int64_t> {
  static constexpr Dtype value = Dtype::kInt64;
};
template <>
struct DtypeOf<bool> {
  static constexpr Dtype value = Dtype::kBool;
};

// A tensor of any dtype and any strides. Without data it is absent: an argument that was left out, or an empty tensor.
struct Tensor {
  static constexpr int kMostAxes = 6;

  void* data = nullptr;
  Dtype dtype = Dtype::kFloat32;
  int axes = 0;
  int64_t shape[kMostAxes] = {}, strides[kMostAxes] = {};  // strides count elements

  OLIFT_HD explicit operator bool() const { return data != nullptr; }
};

// A tensor of `T` that can be used as a pointer to its first element.
template <class T>
struct Strided : Tensor {
  OLIFT_HD operator T*() const { return static_cast<T*>(data); }
};

// A contiguous tensor of `T` that can be used as a pointer.
template <class T>
struct Array : Strided<T> {};

}  // namespace olift
