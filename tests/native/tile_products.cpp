// Products of matrices by one implementation of the tile operations.
// tile_products bf16|int8 M K N < SUMS A B > RESULT, lanes of 32 bits: SUMS, RESULT are M x N, A is M x K, B is K x N.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include TILES

static std::vector<std::uint32_t> read(int rows, int lanes) {
  std::vector<std::uint32_t> matrix(rows * lanes);
  if (std::fread(matrix.data(), 4, matrix.size(), stdin) != matrix.size()) std::exit(1);
  return matrix;
}

int main(int, char** argv) {
  if (!AVAILABLE) return 3;
  const int m = std::atoi(argv[2]), k = std::atoi(argv[3]), n = std::atoi(argv[4]);
  std::vector<std::uint32_t> sums = read(m, n);
  const std::vector<std::uint32_t> a = read(m, k), b = read(k, n);
  tiles::Configuration shapes;
  shapes.palette = 1;
  const int rows[] = {m, m, k}, lanes[] = {n, k, n};
  for (int i = 0; i < 3; ++i) shapes.rows[i] = rows[i], shapes.bytes[i] = 4 * lanes[i];
  {
    const tiles::Scope scope(shapes);
    tiles::load<0>(sums.data(), 4 * n);
    tiles::load<1>(a.data(), 4 * k);
    tiles::load<2>(b.data(), 4 * n);
    if (std::strcmp(argv[1], "bf16") == 0) tiles::dot_bf16<0, 1, 2>();
    else tiles::dot_int8<0, 1, 2>();
    tiles::store<0>(sums.data(), 4 * n);
  }
  std::fwrite(sums.data(), 4, sums.size(), stdout);
}
