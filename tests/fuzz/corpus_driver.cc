// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void Try(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

std::vector<std::string> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<std::string> corpus;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// Flips, cuts, repeats and moves pieces, as many times as the dice say.
std::string Mutate(std::string text, const std::string& other, std::mt19937_64& random) {
  const auto below = [&](std::size_t bound) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(bound, 1));
  };
  for (std::size_t i = 0; i < 1 + below(6); ++i) {
    const std::size_t at = below(text.size() + 1);
    switch (below(4)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, below(16));
        break;
      case 2:
        text.insert(at, other.substr(below(other.size()), below(32)));
        break;
      default:
        text.insert(at, text.substr(below(text.size()), below(64)));
    }
  }
  return text;
}

}  // namespace

// Runs a fuzz target without libFuzzer: each file of its corpora, then a number of mutations of them, always the same.
int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " MUTATIONS CORPUS_FOLDER...\n";
    return 2;
  }
  std::uint64_t mutations = 0;
  std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), mutations);
  std::vector<std::string> corpus;
  for (int i = 2; i < argc; ++i) {
    const std::vector<std::string> files = ReadCorpus(argv[i]);
    if (files.empty()) {
      std::cerr << "no files in " << argv[i] << "\n";
      return 2;
    }
    corpus.insert(corpus.end(), files.begin(), files.end());
  }
  for (const std::string& text : corpus) Try(text);
  for (std::uint64_t seed = 0; seed < mutations; ++seed) {
    std::mt19937_64 random(seed);
    const std::string& first = corpus[random() % corpus.size()];
    Try(Mutate(first, corpus[random() % corpus.size()], random));
  }
  std::cout << corpus.size() << " files and " << mutations << " mutations\n";
  return 0;
}
