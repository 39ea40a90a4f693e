// Bindings for all kernels: they take torch tensors and NumPy arrays as arguments, without a header of either.
//
// A binding lists the fields of the struct that a kernel takes, each with its name in Python. `bind` makes a function
// that checks each argument against its field's type (dtype, contiguity) and calls the kernel without Python's lock.
#pragma once

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/dispatch.h"
#include "common/tensor.h"

namespace olift {

namespace py = pybind11;

// Parts of DLPack's C interface (dmlc.github.io/dlpack, version 1): torch fills in a tensor's address and layout.
namespace dlpack {

enum : int32_t { kCpu = 1, kCuda = 2, kPinned = 3 };
enum : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

struct Tensor {
  void* data;
  int32_t device, device_index, axes;
  uint8_t code, bits;
  uint16_t lanes;
  const int64_t *shape, *strides;
  uint64_t byte_offset;
};

struct ExchangeApi {
  uint32_t major, minor;
  const ExchangeApi* older;
  void *allocate, *from_object, *to_object;
  int (*view)(void* object, Tensor* out);  // of a tensor that stays its owner's; not 0: a Python error is set
};

// torch's exchange interface, looked up once.
inline const ExchangeApi& torch_api() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<const ExchangeApi*> found;
  return *found
              .call_once_and_store_result([] {
                const py::capsule capsule =
                    py::module_::import("torch").attr("Tensor").attr("__dlpack_c_exchange_api__");
                const auto* api = capsule.get_pointer<const ExchangeApi>();
                if (api->major != 1) throw py::import_error("torch's DLPack interface must be of version 1");
                return api;
              })
              .get_stored();
}

}  // namespace dlpack

// A tensor or an array, passed from Python.
struct Argument : Tensor {
  int32_t device = dlpack::kCpu;
  bool writable = true;
};
using Optional = std::optional<Argument>;

template <class... Parts>
std::string text(const Parts&... parts) {
  std::string joined;
  const auto add = [&](const auto& part) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) joined += std::to_string(part);
    else joined += part;
  };
  (add(parts), ...);
  return joined;
}

// Raises ValueError with the text of `parts`, which are joined only then.
template <class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) throw py::value_error(text(parts...));
}

inline const char* name_of(Dtype dtype) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "int16", "int64", "bool", "uint8"};
  return names[static_cast<int>(dtype)];
}

inline int64_t size_of(const Tensor& x) {
  int64_t size = 1;
  for (int axis = 0; axis < x.axes; ++axis) size *= x.shape[axis];
  return size;
}

inline bool is_contiguous(const Tensor& x) {
  int64_t step = 1;
  for (int axis = x.axes - 1; axis >= 0; --axis) {
    if (x.shape[axis] != 1 && x.strides[axis] != step) return size_of(x) == 0;
    step *= x.shape[axis];
  }
  return true;
}

inline void require_dtype(const char* name, const Tensor& x, Dtype dtype) {
  require(x.dtype == dtype, name, " must be ", name_of(dtype), ", got ", name_of(x.dtype));
}

inline void require_contiguous(const char* name, const Tensor& x) {
  require(is_contiguous(x), name, " must be contiguous");
}

inline void require_shape(const char* name, const Tensor& x, std::initializer_list<int64_t> shape) {
  const auto list = [](const int64_t* sizes, size_t count) {
    std::string joined;
    for (size_t axis = 0; axis < count; ++axis) joined += text(axis ? ", " : "", sizes[axis]);
    return joined;
  };
  bool same = x.axes == static_cast<int>(shape.size());
  for (int axis = 0; same && axis < x.axes; ++axis) same = x.shape[axis] == shape.begin()[axis];
  if (same) return;
  throw py::value_error(text(name, " must have shape (", list(shape.begin(), shape.size()), "), got (",
                             list(x.shape, static_cast<size_t>(x.axes)), ")"));
}

inline void require_writable(const char* name, const Argument& x) {
  require(x.writable, name, " must be writable, got a read-only array");
}

inline void require_threads(int threads) { require(threads > 0, "threads must be > 0, got ", threads); }

// Puts an argument into a field. The field's type decides what it may be: only const elements may be read-only.
inline void take(const char* name, const Argument& x, Tensor& field) {
  require_writable(name, x);
  field = x;
}

template <class T>
void take(const char* name, const Argument& x, Strided<T>& field) {
  if constexpr (!std::is_const_v<T>) require_writable(name, x);
  require_dtype(name, x, DtypeOf<std::remove_const_t<T>>::value);
  static_cast<Tensor&>(field) = x;
}

template <class T>
void take(const char* name, const Argument& x, Array<T>& field) {
  require_contiguous(name, x);
  take(name, x, static_cast<Strided<T>&>(field));
}

// An argument of a bound function: its name in Python, and its field.
template <class P, class M>
struct Field {
  using Value = std::conditional_t<std::is_base_of_v<Tensor, M>, Argument, M>;
  const char* name;
  M P::* member;
  void put(P& call, const Value& value) const {
    if constexpr (std::is_base_of_v<Tensor, M>) {
      require(value.device == dlpack::kCpu || value.device == dlpack::kPinned, name, " must be on the CPU");
      take(name, value, call.*member);
    } else {
      call.*member = value;
    }
  }
  void require_memory(const Value&) const {}
};

// An argument that may be None; its field then has no data.
template <class P, class M>
struct OptionalField : Field<P, M> {
  using Value = Optional;
  void put(P& call, const Value& value) const {
    if (value) Field<P, M>::put(call, *value);
  }
  void require_memory(const Value& value) const {
    require(!value || value->data, Field<P, M>::name, " must not be empty: None leaves it out");
  }
};

template <class P, class M>
Field<P, M> field(const char* name, M P::* member) {
  return {name, member};
}

template <class P, class M>
OptionalField<P, M> optional(const char* name, M P::* member) {
  return {{name, member}};
}

template <class Call>
using Kernel = void (*)(const Call&);

// Binds a CPU kernel: `prepare` refuses arguments that do not fit together, fills in values that follow from them, and
// returns the kernel.
template <class Call, class... Fields>
void bind(py::module_& m, const char* name, Kernel<Call> (*prepare)(Call&), Fields... fields) {
  m.def(
      name,
      [=](const typename Fields::Value&... values) {
        Call call{};
        (fields.put(call, values), ...);
        const auto kernel = prepare(call);
        (fields.require_memory(values), ...);
        py::gil_scoped_release release;
        kernel(call);
      },
      py::arg(fields.name)...);
}

// Functions that add bindings to the module `m`. Each file of bindings registers its own before the module is made:
//   OLIFT_BINDINGS(banded) { bind<BandedForward>(m, "banded_attention_forward", ...); }
using Bindings = void (*)(py::module_& m);
inline std::vector<Bindings>& all_bindings() {
  static std::vector<Bindings> all;
  return all;
}
struct RegisteredBindings {
  explicit RegisteredBindings(Bindings bindings) { all_bindings().push_back(bindings); }
};
#define OLIFT_BINDINGS(family)                                         \
  static void bind_##family(py::module_& m);                           \
  static const RegisteredBindings registered_##family(&bind_##family); \
  static void bind_##family(py::module_& m)

}  // namespace olift

namespace pybind11::detail {

template <>
struct type_caster<olift::Argument> {
  PYBIND11_TYPE_CASTER(olift::Argument, const_name("Tensor"));

  bool load(handle object, bool) {
    if (PyObject_CheckBuffer(object.ptr())) view_array(object);
    else view_tensor(object);
    return true;
  }

 private:
  void take_axes(int axes) {
    olift::require(axes <= olift::Tensor::kMostAxes, "a tensor must have at most ", olift::Tensor::kMostAxes,
                   " axes, got ", axes);
    value.axes = axes;
  }

  void view_tensor(handle object) {
    // If torch is not imported, no object is a torch tensor.
    const auto torch = reinterpret_steal<pybind11::object>(PyImport_GetModule(str("torch").ptr()));
    if (!torch || torch.is_none()) {
      PyErr_Clear();
      refuse_type(object);
    }
    olift::dlpack::Tensor found;
    if (olift::dlpack::torch_api().view(object.ptr(), &found) != 0) refuse(object);
    take_axes(found.axes);
    value.data = static_cast<char*>(found.data) + found.byte_offset;
    value.dtype = dtype_of(found);
    value.device = found.device;
    for (int axis = 0; axis < found.axes; ++axis) {
      value.shape[axis] = found.shape[axis];
      value.strides[axis] = found.strides[axis];
    }
    olift::require(found.data || olift::size_of(value) == 0, "a tensor must have memory: got a fake or functional one");
  }

  // Anything with Python's buffer protocol; the caller holds the object, and so the memory, while the kernel runs.
  void view_array(handle object) {
    struct Buffer : Py_buffer {
      explicit Buffer(handle object) {
        if (PyObject_GetBuffer(object.ptr(), this, PyBUF_STRIDES | PyBUF_FORMAT) != 0) throw error_already_set();
      }
      ~Buffer() { PyBuffer_Release(this); }
    } found(object);
    take_axes(found.ndim);
    value.dtype = dtype_of(found);
    value.writable = !found.readonly;
    bool aligned = true;
    for (int axis = 0; axis < found.ndim; ++axis) {
      value.shape[axis] = found.shape[axis];
      value.strides[axis] = found.strides[axis] / found.itemsize;
      aligned = aligned && (found.strides[axis] % found.itemsize == 0 || found.shape[axis] < 2);
    }
    value.data = olift::size_of(value) ? found.buf : nullptr;
    aligned = aligned && reinterpret_cast<std::uintptr_t>(value.data) % static_cast<size_t>(found.itemsize) == 0;
    olift::require(aligned, "an array's elements must lie at multiples of their ", int64_t{found.itemsize}, " bytes");
  }

  // Raises torch's error for a tensor in one line; pybind11's error would have all arguments with their values.
  [[noreturn]] static void refuse(handle object) {
    error_already_set reason;
    if (isinstance(object, module_::import("torch").attr("Tensor"))) throw reason;
    refuse_type(object);
  }

  [[noreturn]] static void refuse_type(handle object) {
    throw type_error(olift::text("must be torch.Tensor or numpy.ndarray, got ", Py_TYPE(object.ptr())->tp_name));
  }

  static olift::Dtype dtype_of(const olift::dlpack::Tensor& x) {
    using olift::Dtype;
    const auto is = [&](uint8_t code, uint8_t bits) { return x.code == code && x.bits == bits; };
    if (is(olift::dlpack::kFloat, 32)) return Dtype::kFloat32;
    if (is(olift::dlpack::kFloat, 64)) return Dtype::kFloat64;
    if (is(olift::dlpack::kBfloat, 16)) return Dtype::kBFloat16;
    if (is(olift::dlpack::kInt, 16)) return Dtype::kInt16;
    if (is(olift::dlpack::kInt, 64)) return Dtype::kInt64;
    if (is(olift::dlpack::kBool, 8)) return Dtype::kBool;
    if (is(olift::dlpack::kUInt, 8)) return Dtype::kUInt8;
    throw value_error("a tensor must be float32, float64, bfloat16, int16, int64, bool or uint8");
  }

  // NumPy has no bfloat16: its bits are passed as uint16.
  static olift::Dtype dtype_of(const Py_buffer& x) {
    using olift::Dtype;
    const std::string format = x.format ? x.format : "B";
    if (format == "f") return Dtype::kFloat32;
    if (format == "d") return Dtype::kFloat64;
    if (format == "H") return Dtype::kBFloat16;
    if (format == "h") return Dtype::kInt16;
    if ((format == "l" || format == "q") && x.itemsize == 8) return Dtype::kInt64;
    if (format == "?") return Dtype::kBool;
    if (format == "B") return Dtype::kUInt8;
    throw value_error(
        olift::text("an array must be float32, float64, uint16 (the bits of bfloat16), int16, int64, bool or "
                    "uint8, got the format ",
                    format));
  }
};

}  // namespace pybind11::detail
