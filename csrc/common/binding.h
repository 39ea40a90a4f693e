// What the bindings of every family of kernels share.
//
// Addresses are integers (0: absent), shapes and strides are in elements. The caller answers for memory and types: the
// public functions of olift_fast.ops do. What is checked here is what no caller may get wrong: that sizes are positive.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>

namespace olift {

namespace py = pybind11;

using Address = std::uintptr_t;
using Ints2 = std::array<int64_t, 2>;
using Ints3 = std::array<int64_t, 3>;
using Ints4 = std::array<int64_t, 4>;
using Ints5 = std::array<int64_t, 5>;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

inline void require(bool holds, const std::string& what) {
  if (!holds) throw py::value_error(what);
}

void bind_attention(py::module_& m);
void bind_dense(py::module_& m);
void bind_encoding(py::module_& m);
void bind_joint(py::module_& m);
void bind_geometry(py::module_& m);

}  // namespace olift
