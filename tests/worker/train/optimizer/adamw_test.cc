// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/adamw.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/base/json.h"

namespace ferment::worker {
namespace {

torch::Tensor ToTensor(const Json& values) {
  std::vector<double> flat;
  for (const Json& value : values) {
    if (!value.is_array()) flat.push_back(value);
    for (const Json& inner : value.is_array() ? value : Json::array()) flat.push_back(inner);
  }
  torch::Tensor tensor = torch::tensor(flat, torch::kFloat64);
  return values[0].is_array() ? tensor.view({static_cast<std::int64_t>(values.size()), -1}) : tensor;
}

TEST(AdamW, FollowsTheTracesOfTorch) {
  std::ifstream file(FERMENT_FIXTURES "/optim/traces.json");
  ASSERT_TRUE(file);
  std::stringstream text;
  text << file.rdbuf();
  const Json fixture = ParseJson(text.str()).value();
  int runs = 0;
  for (const Json& run : fixture["runs"]) {
    if (run["optimiser"] != "AdamW") continue;
    ++runs;
    const Json& given = run["options"];
    AdamWOptions options;
    if (given.contains("betas")) {
      options.beta1 = given["betas"][0];
      options.beta2 = given["betas"][1];
    }
    options.epsilon = given.value("eps", options.epsilon);
    options.weight_decay = given.value("weight_decay", options.weight_decay);
    torch::Tensor x = ToTensor(fixture["start"]);
    AdamW optimizer({{"x", x}}, options);
    for (const Json& step : run["steps"]) {
      x.mutable_grad() = torch::mv(ToTensor(fixture["A"]), x) - ToTensor(fixture["b"]);
      optimizer.Step(given.value("lr", 1e-3));
      EXPECT_TRUE(torch::allclose(x, ToTensor(step["x_after"]), 1e-10, 1e-12)) << run["name"];
    }
  }
  EXPECT_GE(runs, 1);
}

TEST(AdamW, GoesOnFromItsStateAsIfItHadNotStopped) {
  const auto run = [](int stop_after) {
    torch::Tensor x = torch::ones({3}, torch::kFloat64);
    auto optimizer = std::make_unique<AdamW>(NamedTensors{{"x", x}}, AdamWOptions{});
    for (int step = 0; step < 6; ++step) {
      if (step == stop_after) {
        const NamedTensors state = optimizer->State();
        const auto steps = optimizer->steps();
        auto fresh = std::make_unique<AdamW>(NamedTensors{{"x", x}}, AdamWOptions{});
        EXPECT_TRUE(fresh->Restore(state, steps).ok());
        optimizer = std::move(fresh);
      }
      x.mutable_grad() = x * x;
      optimizer->Step(0.1);
    }
    return x;
  };
  EXPECT_TRUE(torch::equal(run(-1), run(3)));
}

TEST(AdamW, RefusesAStateThatLacksAMoment) {
  AdamW optimizer({{"x", torch::ones({3})}}, {});
  EXPECT_EQ(optimizer.Restore({}, 1).code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ferment::worker
