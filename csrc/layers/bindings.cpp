#include "common/binding.h"
#include "layers/layers.h"

#include <tuple>

namespace olift {
namespace {

// As Python passes them: a weight, packed or not, and a bias; a norm's weight, bias and epsilon.
using LinearArgument = std::tuple<Argument, Argument>;
using NormArgument = std::tuple<Argument, Argument, float>;
using MlpArgument = std::tuple<NormArgument, LinearArgument, LinearArgument>;
using HeadArgument = std::tuple<NormArgument, LinearArgument, std::optional<LinearArgument>>;

const LayerKernels& kernels(Dtype products) {
  require(products == Dtype::kFloat32 || products == Dtype::kBFloat16,
          "products are made in float32 or bfloat16, not in ", name_of(products));
  if (products == Dtype::kFloat32) return cpu_kernels().layers;
  require(bfloat16_kernels(), "products in bfloat16 need AVX512-BF16, which this machine or this build has not");
  return *bfloat16_kernels();
}

// The kernels of passes whose products are made in a dtype.
struct PassKernels {
  int64_t (*pack_weight)(const Packing&);
  void (*token_block)(const TokenBlock&);
};

PassKernels pass_kernels(Dtype products) {
  if (products == Dtype::kInt16) return {integer_kernels().pack_weight_int16, integer_kernels().token_block_int16};
  const LayerKernels& found = kernels(products);
  return {found.pack_weight, found.token_block};
}

template <class T>
Array<T> contiguous(const char* name, const Argument& x) {
  Array<T> array;
  take(name, x, array);
  return array;
}

// Contiguous, of this dtype and shape.
void require_exactly(const char* name, const Tensor& x, Dtype dtype, std::initializer_list<int64_t> shape) {
  require_dtype(name, x, dtype);
  require_contiguous(name, x);
  require_shape(name, x, shape);
}

int64_t packed_elements(int64_t in, int64_t out, Dtype products) {
  require(in > 0 && out > 0, "inputs and outputs must be > 0, got ", in, " and ", out);
  return pass_kernels(products).pack_weight({nullptr, in, out, nullptr});
}

int64_t packed_size(int64_t in, int64_t out, const std::string& products) {
  for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBFloat16, Dtype::kInt16}) {
    if (products == name_of(dtype)) return packed_elements(in, out, dtype);
  }
  throw py::value_error(text("products must be float32, bfloat16 or int16, got ", products));
}

void pack_weight(const Argument& weight, const Argument& packed) {
  require(weight.axes == 2, "weight must have 2 axes, got ", weight.axes);
  const int64_t in = weight.shape[1], out = weight.shape[0];
  require_exactly("packed", packed, packed.dtype, {packed_elements(in, out, packed.dtype)});
  require_writable("packed", packed);
  pass_kernels(packed.dtype).pack_weight({contiguous<const float>("weight", weight), in, out, packed.data});
}

// A packed layer of `in` inputs; its bias tells how many outputs it has.
Linear linear_of(const char* name, const LinearArgument& argument, int64_t in, Dtype products) {
  const auto& [packed, bias] = argument;
  require(bias.axes == 1 && bias.shape[0] > 0, "every layer needs a bias");
  require_exactly(name, packed, products, {packed_elements(in, bias.shape[0], products)});
  return {packed.data, contiguous<const float>("bias", bias), in, bias.shape[0]};
}

Norm norm_of(const NormArgument& argument, int64_t width) {
  const auto& [weight, bias, epsilon] = argument;
  require_exactly("a norm's weight", weight, Dtype::kFloat32, {width});
  require_exactly("a norm's bias", bias, Dtype::kFloat32, {width});
  return {static_cast<const float*>(weight.data), static_cast<const float*>(bias.data), epsilon};
}

void token_block(const Argument& tokens, const Optional& attended, const Argument& head_out,
                 const std::optional<LinearArgument>& projection, const std::optional<MlpArgument>& mlp,
                 const HeadArgument& head, int threads) {
  TokenBlock p{};
  p.tokens = contiguous<float>("tokens", tokens);
  p.width = tokens.axes ? tokens.shape[tokens.axes - 1] : 0;
  p.rows = p.width ? size_of(tokens) / p.width : 0;
  p.threads = threads;
  require(p.rows > 0 && p.width > 0, "rows and width must be > 0, got ", p.rows, " and ", p.width);
  require_threads(threads);
  const auto& [head_norm, head_in, head_second] = head;
  const Dtype products = std::get<0>(head_in).dtype;
  const Dtype elements = products == Dtype::kInt16 ? Dtype::kFloat32 : products;
  const PassKernels run = pass_kernels(products);
  if (projection) {
    require(attended.has_value(), "a projection needs attended");
    require_dtype("attended", *attended, elements);
    require_contiguous("attended", *attended);
    require(size_of(*attended) == size_of(tokens), "attended must be as large as tokens");
    p.attended = attended->data;
    p.projection = linear_of("projection", *projection, p.width, products);
    require(p.projection.out == p.width, "a projection must give what tokens hold");
  }
  if (mlp) {
    const auto& [norm, first, second] = *mlp;
    p.mlp_norm = norm_of(norm, p.width);
    p.mlp_in = linear_of("the mlp's first layer", first, p.width, products);
    p.mlp_out = linear_of("the mlp's second layer", second, p.mlp_in.out, products);
    require(p.mlp_out.out == p.width, "an mlp must give what tokens hold");
  }
  p.head_norm = norm_of(head_norm, p.width);
  p.head_in = linear_of("the head's first layer", head_in, p.width, products);
  if (head_second) p.head_out_layer = linear_of("the head's second layer", *head_second, p.head_in.out, products);
  require_writable("head_out", head_out);
  require_dtype("head_out", head_out, head_second ? Dtype::kFloat32 : elements);
  require_contiguous("head_out", head_out);
  require(size_of(head_out) == p.rows * (head_second ? p.head_out_layer : p.head_in).out,
          "head_out must hold what the head gives");
  p.head_out = head_out.data;
  py::gil_scoped_release release;
  run.token_block(p);
}

// Fills in norm, layers and rows, and returns the width of the output.
int64_t check_layers(Layers& p) {
  require(p.x.axes == 2 && p.weight.axes == 2, "x and weight must have 2 axes, got ", p.x.axes, " and ", p.weight.axes);
  p.rows = p.x.shape[0];
  const int64_t in = p.weight.shape[1], inner = p.weight.shape[0],
                outer = p.second_weight ? p.second_weight.shape[0] : inner;
  require(p.rows > 0 && p.threads > 0, "rows and threads must be > 0, got ", p.rows, " and ", p.threads);
  for (const int64_t width : {in, inner, outer}) require(width > 0, "widths must be > 0, got ", width);
  require(!p.norm_weight == !p.norm_bias, "a norm must have a weight and a bias");
  const Dtype products = p.hidden.dtype;
  require_exactly("x", p.x, p.norm_weight ? Dtype::kFloat32 : products, {p.rows, in});
  require_contiguous("hidden", p.hidden);
  require(!p.second_weight || size_of(p.hidden) == p.rows * inner,
          "hidden must hold what the first of two layers gives");
  if (p.norm_weight) {
    require_shape("norm_weight", p.norm_weight, {in});
    require_shape("norm_bias", p.norm_bias, {in});
  }
  if (p.bias) require_shape("bias", p.bias, {inner});
  if (p.second_weight) require_shape("second_weight", p.second_weight, {outer, inner});
  if (p.second_bias) require_shape("second_bias", p.second_bias, {outer});
  p.norm = {p.norm_weight, p.norm_bias, p.epsilon};
  p.first = {p.weight, p.bias, in, inner};
  p.second = {p.second_weight, p.second_bias, inner, outer};
  return outer;
}

// What the output, or its gradient, is held in.
Dtype dtype_of_output(const Layers& p) { return p.norm_weight && !p.second_weight ? p.hidden.dtype : Dtype::kFloat32; }

Kernel<LayersForward> prepare_forward(LayersForward& p) {
  const int64_t width = check_layers(p);
  require_exactly("out", p.out, dtype_of_output(p), {p.rows, width});
  if (p.added) require_shape("added", p.added, {p.rows, width});
  return kernels(p.hidden.dtype).layers_forward;
}

Kernel<LayersBackward> prepare_backward(LayersBackward& p) {
  const int64_t width = check_layers(p), in = p.first.in, inner = p.first.out;
  require(!p.residual || in == width, "x must be as wide as the output that it is added to");
  require_exactly("grad", p.grad, dtype_of_output(p), {p.rows, width});
  if (p.dx) require_exactly("dx", p.dx, p.x.dtype, {p.rows, in});
  if (p.dnorm_weight) require_shape("dnorm_weight", p.dnorm_weight, {in});
  if (p.dnorm_bias) require_shape("dnorm_bias", p.dnorm_bias, {in});
  if (p.dweight) require_shape("dweight", p.dweight, {inner, in});
  if (p.dbias) require_shape("dbias", p.dbias, {inner});
  if (p.dsecond_weight) require_shape("dsecond_weight", p.dsecond_weight, {width, inner});
  if (p.dsecond_bias) require_shape("dsecond_bias", p.dsecond_bias, {width});
  return kernels(p.hidden.dtype).layers_backward;
}

}  // namespace

OLIFT_BINDINGS(layers) {
  m.def("packed_size", &packed_size, py::arg("inputs"), py::arg("outputs"), py::arg("products"));
  m.def("pack_weight", &pack_weight, py::arg("weight"), py::arg("packed"));
  m.def("token_block", &token_block, py::arg("tokens"), py::arg("attended"), py::arg("head_out"), py::arg("projection"),
        py::arg("mlp"), py::arg("head"), py::arg("threads"));
  bind<LayersForward>(m, "layers_forward", prepare_forward, field("x", &LayersForward::x),
                      optional("added", &LayersForward::added), optional("norm_weight", &LayersForward::norm_weight),
                      optional("norm_bias", &LayersForward::norm_bias), field("weight", &LayersForward::weight),
                      optional("bias", &LayersForward::bias), optional("second_weight", &LayersForward::second_weight),
                      optional("second_bias", &LayersForward::second_bias), field("epsilon", &LayersForward::epsilon),
                      field("hidden", &LayersForward::hidden), field("out", &LayersForward::out),
                      field("threads", &LayersForward::threads));
  bind<LayersBackward>(
      m, "layers_backward", prepare_backward, field("grad", &LayersBackward::grad), field("x", &LayersBackward::x),
      field("hidden", &LayersBackward::hidden), optional("norm_weight", &LayersBackward::norm_weight),
      optional("norm_bias", &LayersBackward::norm_bias), field("weight", &LayersBackward::weight),
      optional("bias", &LayersBackward::bias), optional("second_weight", &LayersBackward::second_weight),
      optional("second_bias", &LayersBackward::second_bias), field("epsilon", &LayersBackward::epsilon),
      field("residual", &LayersBackward::residual), optional("dx", &LayersBackward::dx),
      optional("dnorm_weight", &LayersBackward::dnorm_weight), optional("dnorm_bias", &LayersBackward::dnorm_bias),
      optional("dweight", &LayersBackward::dweight), optional("dbias", &LayersBackward::dbias),
      optional("dsecond_weight", &LayersBackward::dsecond_weight),
      optional("dsecond_bias", &LayersBackward::dsecond_bias), field("threads", &LayersBackward::threads));
}

}  // namespace olift
