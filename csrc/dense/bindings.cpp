#include "common/binding.h"
#include "common/dispatch.h"
#include "dense/dense.h"

namespace olift {
namespace {

using Address2 = std::array<Address, 2>;  // weight, bias
using Layers = std::array<Address, 6>;   // norm weight, norm bias, weight, bias, second weight, second bias

void require_widths(int64_t in, int64_t out) {
  require(in > 0 && out > 0, "inputs and outputs must be > 0, got " + std::to_string(in) + " and " + std::to_string(out));
}

const DenseKernels& kernels(bool bfloat16) {
  const DenseKernels& found = bfloat16 ? cpu_kernels().dense_bfloat16 : cpu_kernels().dense;
  require(found.token_block, "products in bfloat16 need AVX512-BF16, which this machine or this build has not");
  return found;
}

int64_t packed_size(int64_t in, int64_t out, bool bfloat16) {
  require_widths(in, out);
  return kernels(bfloat16).pack_weight({nullptr, in, out, nullptr});
}

void pack_weight(Address weight, int64_t in, int64_t out, Address packed, bool bfloat16) {
  require_widths(in, out);
  require(weight && packed, "weight and packed must have an address");
  kernels(bfloat16).pack_weight({at<const float>(weight), in, out, at<void>(packed)});
}

void token_block(Address tokens, Address attended, Address head_out, int64_t rows, Ints4 widths,
                 Address2 projection, Layers mlp, Layers head, std::array<float, 2> epsilons,
                 bool bfloat16, int threads) {
  const auto [width, mlp_width, head_width, out_width] = widths;
  require(rows > 0 && width > 0, "rows and width must be > 0, got " + std::to_string(rows) + " and " + std::to_string(width));
  require(threads > 0, "threads must be > 0, got " + std::to_string(threads));
  require(tokens != 0, "tokens must have an address");
  require(!projection[0] || attended, "a projection needs attended");
  require(!head[2] || (head_out && out_width > 0), "a head needs head_out and its width");
  require(!mlp[2] || (mlp[4] && mlp_width > 0), "an mlp has two layers and a width");
  require(!head[4] || head_width > 0, "a head of two layers needs its inner width");
  const auto linear = [](Address weight, Address bias, int64_t in, int64_t out) {
    require(!weight || bias, "every layer needs a bias");
    return Linear{at<const void>(weight), at<const float>(bias), in, out};
  };
  const auto norm = [](const Layers& layers, float epsilon) {
    require(!layers[2] || (layers[0] && layers[1]), "every norm needs a weight and a bias");
    return Norm{at<const float>(layers[0]), at<const float>(layers[1]), epsilon};
  };
  const TokenBlock p{at<float>(tokens),
                     at<const void>(attended),
                     at<void>(head_out),
                     rows,
                     width,
                     linear(projection[0], projection[1], width, width),
                     norm(mlp, epsilons[0]),
                     linear(mlp[2], mlp[3], width, mlp_width),
                     linear(mlp[4], mlp[5], mlp_width, width),
                     norm(head, epsilons[1]),
                     linear(head[2], head[3], width, head[4] ? head_width : out_width),
                     linear(head[4], head[5], head_width, out_width),
                     threads};
  const auto run = kernels(bfloat16).token_block;
  py::gil_scoped_release release;
  run(p);
}

Layer layer_of(const Address2& layer, int64_t in, int64_t out) {
  return {at<const float>(layer[0]), at<const float>(layer[1]), in, out};
}

// Widths: of x, of what the first layer gives, of what the second one gives.
void require_dense(int64_t rows, const Ints3& widths, const Address2& norm, const Address2& first, int threads) {
  require(rows > 0 && threads > 0, "rows and threads must be > 0, got " + std::to_string(rows) + " and " + std::to_string(threads));
  for (const int64_t width : widths) require(width > 0, "widths must be > 0, got " + std::to_string(width));
  require(first[0] != 0, "the first layer must have a weight");
  require(!norm[0] == !norm[1], "a norm must have a weight and a bias");
}

void dense_forward(Address x, Address added, Address2 norm, Address2 first, Address2 second, Address hidden, Address out,
                   int64_t rows, Ints3 widths, float epsilon, bool bfloat16, int threads) {
  require_dense(rows, widths, norm, first, threads);
  require(x && out, "x and out must have an address");
  const auto [in, inner, outer] = widths;
  const DenseForward p{at<const void>(x),
                       at<const float>(added),
                       {at<const float>(norm[0]), at<const float>(norm[1]), epsilon},
                       layer_of(first, in, inner),
                       layer_of(second, inner, outer),
                       at<void>(hidden),
                       at<void>(out),
                       rows,
                       threads};
  const auto run = kernels(bfloat16).forward;
  py::gil_scoped_release release;
  run(p);
}

void dense_backward(Address grad, Address x, Address hidden, Address2 norm, Address2 first, Address2 second, bool residual,
                    Address grad_x, Address2 grad_norm, Address2 grad_first, Address2 grad_second, int64_t rows,
                    Ints3 widths, float epsilon, bool bfloat16, int threads) {
  require_dense(rows, widths, norm, first, threads);
  require(grad && x, "grad and x must have an address");
  const auto [in, inner, outer] = widths;
  require(!second[0] || hidden, "two layers need what lies between them");
  require(!residual || in == (second[0] ? outer : inner), "x must be as wide as the output that it is added to");
  const auto gradient = [](const Address2& of) { return LayerGradient{at<float>(of[0]), at<float>(of[1])}; };
  const DenseBackward p{at<const void>(grad),
                        at<const void>(x),
                        at<const void>(hidden),
                        {at<const float>(norm[0]), at<const float>(norm[1]), epsilon},
                        layer_of(first, in, inner),
                        layer_of(second, inner, outer),
                        residual,
                        at<void>(grad_x),
                        at<float>(grad_norm[0]),
                        at<float>(grad_norm[1]),
                        gradient(grad_first),
                        gradient(grad_second),
                        rows,
                        threads};
  const auto run = kernels(bfloat16).backward;
  py::gil_scoped_release release;
  run(p);
}

}  // namespace

void bind_dense(py::module_& m) {
  m.def("packed_size", &packed_size, py::arg("inputs"), py::arg("outputs"), py::arg("bfloat16"));
  m.def("pack_weight", &pack_weight, py::arg("weight"), py::arg("inputs"), py::arg("outputs"), py::arg("packed"),
        py::arg("bfloat16"));
  m.def("token_block", &token_block, py::arg("tokens"), py::arg("attended"), py::arg("head_out"), py::arg("rows"),
        py::arg("widths"), py::arg("projection"), py::arg("mlp"), py::arg("head"), py::arg("epsilons"),
        py::arg("bfloat16"), py::arg("threads"));
  m.def("dense_forward", &dense_forward, py::arg("x"), py::arg("added"), py::arg("norm"), py::arg("first"),
        py::arg("second"), py::arg("hidden"), py::arg("out"), py::arg("rows"), py::arg("widths"), py::arg("epsilon"),
        py::arg("bfloat16"), py::arg("threads"));
  m.def("dense_backward", &dense_backward, py::arg("grad"), py::arg("x"), py::arg("hidden"), py::arg("norm"),
        py::arg("first"), py::arg("second"), py::arg("residual"), py::arg("grad_x"), py::arg("grad_norm"),
        py::arg("grad_first"), py::arg("grad_second"), py::arg("rows"), py::arg("widths"), py::arg("epsilon"),
        py::arg("bfloat16"), py::arg("threads"));
}

}  // namespace olift
