// The weights of a module's convolutions in the order that oneDNN works in, once instead of at every call.
//
// libtorch has oneDNN bring a convolution's weights into that order whenever it runs, and gives those that have few values to a
// convolution of its own, which takes longer. Of a call of `exact-1` that is a twentieth of the time. libtorch also has an operator that
// takes weights in their final order; here it takes the place of the others, in the code of a module that has not run yet.
// libtorch rewrites code likewise for whole modules (`optimize_for_inference`), and then brings all that lies between convolutions into
// oneDNN's order and back.
//
// What the operator gives has its features last. libtorch's convolution gives the same where the weights lie so: only such are
// replaced, and strides, which a module may build on, stay what they were. The operator takes batches alone, `[batch, feature, y, x]`.
//
// A ReLU behind a convolution could be a part of it. oneDNN's makes 0 of what is no number, by which a stream that went wrong is
// known: it stays an operation of its own.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;
using torch::jit::WithInsertPoint;

constexpr const char* CONVOLUTION = "mkldnn::_convolution_pointwise";
constexpr const char* BRING_INTO_ORDER = "mkldnn::_reorder_convolution_weight";

// What stands behind the input of `aten::conv2d(input, weight, bias, stride, padding, dilation, groups)`, but for the bias.
struct Constants {
  at::Tensor weight;
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups;
};

std::optional<std::vector<int64_t>> numbers_of(Value* value) {
  if (auto constant = torch::jit::toIValue(value)) {
    if (constant->isIntList()) return constant->toIntVector();
    return std::nullopt;
  }
  if (value->node()->kind() != c10::prim::ListConstruct) return std::nullopt;
  std::vector<int64_t> found;
  for (Value* item : value->node()->inputs()) {
    const auto constant = torch::jit::toIValue(item);
    if (!constant || !constant->isInt()) return std::nullopt;
    found.push_back(constant->toInt());
  }
  return found;
}

// One for all axes or one for each, none below `least`. oneDNN's preparation divides by them before it looks.
bool are_sound(const std::vector<int64_t>& numbers, int64_t least) {
  return (numbers.size() == 1 || numbers.size() == 2) && *std::min_element(numbers.begin(), numbers.end()) >= least;
}

// None where something is only known when it runs, where it makes no sense, or where the weights do not lie features last.
std::optional<Constants> constants_of(Node* node) {
  const auto weight = torch::jit::toIValue(node->input(1));
  const auto stride = numbers_of(node->input(3)), padding = numbers_of(node->input(4)), dilation = numbers_of(node->input(5));
  const auto groups = torch::jit::toIValue(node->input(6));
  if (!weight || !weight->isTensor() || !stride || !padding || !dilation || !groups || !groups->isInt()) return std::nullopt;
  if (!are_sound(*stride, 1) || !are_sound(*padding, 0) || !are_sound(*dilation, 1) || groups->toInt() < 1) return std::nullopt;
  const at::Tensor& values = weight->toTensor();
  const bool is_plain = values.layout() == at::kStrided && values.device().is_cpu() && values.scalar_type() == at::kFloat && values.dim() == 4;
  if (!is_plain || values.numel() == 0 || values.size(0) % groups->toInt() != 0) return std::nullopt;
  if (values.suggest_memory_format() != at::MemoryFormat::ChannelsLast) return std::nullopt;
  return Constants{values, *stride, *padding, *dilation, groups->toInt()};
}

void collect(Block* block, std::vector<Node*>& found) {
  for (Node* node : block->nodes()) {
    if (node->kind() == c10::aten::conv2d && node->inputs().size() == 7) found.push_back(node);
    for (Block* inner : node->blocks()) collect(inner, found);
  }
}

Value* insert_convolution(Graph& graph, Node* before, const at::Tensor& in_order) {
  const WithInsertPoint guard(before);
  Node* const weight = graph.insertNode(graph.create(c10::prim::ConstantMKLDNNTensor)->t_(c10::attr::value, in_order));
  // Nothing is done to what comes out.
  Value* const activation = graph.insertConstant("none");
  Node* const its_numbers = graph.insertNode(graph.create(c10::prim::ListConstruct));
  its_numbers->output()->setType(c10::ListType::create(c10::OptionalType::create(c10::NumberType::get())));
  Value* const its_algorithm = graph.insertConstant("");
  const std::vector<Value*> inputs{
      before->input(0), weight->output(), before->input(2), before->input(4), before->input(3), before->input(5), before->input(6),
      activation, its_numbers->output(), its_algorithm,
  };
  Node* const convolution = graph.insertNode(graph.create(c10::Symbol::fromQualString(CONVOLUTION), inputs));
  convolution->setSourceRange(before->sourceRange());
  convolution->output()->setType(before->output()->type());
  return convolution->output();
}

void replace(Graph& graph, Node* node, const at::Tensor& in_order) {
  node->output()->replaceAllUsesWith(insert_convolution(graph, node, in_order));
  Node* const plain_weight = node->input(1)->node();
  node->destroy();
  if (!plain_weight->hasUses()) plain_weight->destroy();
}

}  // namespace

// Of the code of `forward`: `module` is on the processor and has not run. Gives how many convolutions were replaced; none where libtorch has no
// oneDNN.
extern "C" int64_t underscore_pack_convolutions(torch::jit::Module* module) {
  int64_t num_replaced = 0;
  try {
    auto& dispatcher = c10::Dispatcher::singleton();
    const auto bring_into_order = dispatcher.findSchema({BRING_INTO_ORDER, ""});
    if (!bring_into_order || !dispatcher.findSchema({CONVOLUTION, ""}) || !at::globalContext().userEnabledMkldnn()) return 0;
    const c10::InferenceMode inference;
    const auto graph = module->get_method("forward").graph();
    std::vector<Node*> nodes;
    collect(graph->block(), nodes);
    for (Node* node : nodes) {
      const auto constants = constants_of(node);
      if (!constants) continue;
      // Of an input of any size.
      Stack stack{constants->weight, constants->padding, constants->stride, constants->dilation, constants->groups, c10::IValue()};
      bring_into_order->callBoxed(stack);
      replace(*graph, node, stack.at(0).toTensor());
      ++num_replaced;
    }
  } catch (...) {
    // What has not been replaced works as before.
  }
  return num_replaced;
}
