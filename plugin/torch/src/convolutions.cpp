// The weights of a module's convolutions in the order that oneDNN works in, once instead of at every call; what cuts off below zero after
// one of them becomes a part of it.
//
// libtorch asks oneDNN, at every call, to bring a convolution's weights into that order, and gives those that have few values to a
// convolution of its own, which takes twice as long. Of calls of few frames that is a twentieth of the time. libtorch
// has an operator that takes weights in their final order; this puts it in the place of the others, in the graph of a module that has
// not run yet. It is the rewriting of graphs that libtorch itself offers for whole modules (`optimize_for_inference`), for
// convolutions alone: that one moves all that lies between them into oneDNN's order and back, too.
//
// What the operator gives has its features last. So only those convolutions are changed whose weights lie so, for which libtorch's
// gives the same: strides, which a module may build on, stay as they were.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <optional>
#include <vector>

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
using torch::jit::WithInsertPoint;

constexpr const char* CONVOLUTION = "mkldnn::_convolution_pointwise";
constexpr const char* BRING_INTO_ORDER = "mkldnn::_reorder_convolution_weight";

// Of `aten::conv2d`, what stands behind its input.
struct Fixed {
  at::Tensor weight;
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups;
};

std::optional<std::vector<int64_t>> sizes(Value* value) {
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

// None where something is only known when it runs, or where the weights do not lie features last.
std::optional<Fixed> fixed(Node* node) {
  const auto weight = torch::jit::toIValue(node->input(1));
  const auto stride = sizes(node->input(3)), padding = sizes(node->input(4)), dilation = sizes(node->input(5));
  const auto groups = torch::jit::toIValue(node->input(6));
  if (!weight || !weight->isTensor() || !stride || !padding || !dilation || !groups || !groups->isInt()) return std::nullopt;
  const at::Tensor& values = weight->toTensor();
  const bool is_plain = values.layout() == at::kStrided && values.device().is_cpu() && values.scalar_type() == at::kFloat && values.dim() == 4;
  if (!is_plain || values.suggest_memory_format() != at::MemoryFormat::ChannelsLast) return std::nullopt;
  return Fixed{values, *stride, *padding, *dilation, groups->toInt()};
}

bool cuts_off_below_zero(Node* node) { return node->kind() == c10::aten::relu || node->kind() == c10::aten::relu_; }

void collect(Block* block, std::vector<Node*>& found) {
  for (Node* node : block->nodes()) {
    if (node->kind() == c10::aten::conv2d && node->inputs().size() == 7) found.push_back(node);
    for (Block* inner : node->blocks()) collect(inner, found);
  }
}

void replace(Graph& graph, Node* node, const at::Tensor& in_order) {
  WithInsertPoint at(node);
  Node* const weight = graph.insertNode(graph.create(c10::prim::ConstantMKLDNNTensor)->t_(c10::attr::value, in_order));
  Node* follower = nullptr;
  if (node->output()->uses().size() == 1 && cuts_off_below_zero(node->output()->uses()[0].user)) follower = node->output()->uses()[0].user;
  Value* const after = graph.insertConstant(follower == nullptr ? "none" : "relu");
  Node* const scalars = graph.insertNode(graph.create(c10::prim::ListConstruct));
  scalars->output()->setType(c10::ListType::create(c10::OptionalType::create(c10::NumberType::get())));
  Value* const algorithm = graph.insertConstant("");
  const std::vector<Value*> inputs{
      node->input(0), weight->output(), node->input(2), node->input(4), node->input(3), node->input(5), node->input(6), after, scalars->output(), algorithm,
  };
  Node* const convolution = graph.insertNode(graph.create(c10::Symbol::fromQualString(CONVOLUTION), inputs));
  convolution->output()->setType(node->output()->type());
  node->output()->replaceAllUsesWith(convolution->output());
  Node* const plain_weight = node->input(1)->node();
  node->destroy();
  if (follower != nullptr) {
    follower->output()->replaceAllUsesWith(convolution->output());
    follower->destroy();
  }
  if (!plain_weight->hasUses()) plain_weight->destroy();
}

}  // namespace

// `module`: on the processor, and not run yet. Gives how many convolutions it changed: none where libtorch has no oneDNN.
extern "C" int64_t underscore_pack_convolutions(torch::jit::Module* module) {
  auto& dispatcher = c10::Dispatcher::singleton();
  const auto bring_into_order = dispatcher.findSchema({BRING_INTO_ORDER, ""});
  if (!bring_into_order || !dispatcher.findSchema({CONVOLUTION, ""}) || !at::globalContext().userEnabledMkldnn()) return 0;
  try {
    const c10::InferenceMode guard;
    const auto graph = module->get_method("forward").graph();
    std::vector<Node*> nodes;
    collect(graph->block(), nodes);
    int64_t num_changed = 0;
    for (Node* node : nodes) {
      const auto known = fixed(node);
      if (!known) continue;
      torch::jit::Stack stack{known->weight, known->padding, known->stride, known->dilation, known->groups, c10::IValue()};
      bring_into_order->callBoxed(stack);
      replace(*graph, node, stack.at(0).toTensor());
      ++num_changed;
    }
    return num_changed;
  } catch (const std::exception&) {
    // What was changed until then works, and the rest as before.
    return 0;
  }
}
