# A formula for a tap; `make dist` makes the tarball that url and sha256 are to name.
class Assay < Formula
  desc "Judge quantised matrix multiplication kernels: correctness, speed, memory"
  homepage "https://example.invalid/assay"
  url "https://example.invalid/assay-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"

  depends_on "pkgconf" => :build
  depends_on "jansson"
  depends_on "libomp"
  depends_on "openblas"
  depends_on "util-linux" # libsmartcols

  def install
    system "make", "all"
    system "make", "install", "PREFIX=#{prefix}"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/assay --version")
    system bin/"assay", "verify", "--backend", "scalar", "--type", "q8_0", "--quick"
  end
end
