/* How far a correct kernel may be from the reference.
 *
 * Model. u = 2^-24. An fp32 operation gives the exact result times (1 + δ), |δ| <= u; a product
 * that is subnormal has an absolute error of at most η = 2^-150 instead (a subnormal sum is
 * exact). A fused multiply-add rounds once where the two operations round twice, so it needs no
 * case of its own. By lemma 3.1 of Higham, "Accuracy and Stability of Numerical Algorithms", 2nd
 * ed., SIAM 2002, section 3.1, the product of n factors (1 + δ_i)^±1 is 1 + θ with
 * |θ| <= γ_n = n·u/(1 - n·u).
 *
 * Leaves. An element is Σ w_k·x̂_k, w = a + b. The kernel sums at least exact_run = r neighbouring
 * products exactly, in integers, and makes an fp32 number of the sum: a leaf. There are
 * P = ceil(k/r) leaves, or 2P where the type has an additive term b, whose sums may be kept apart.
 * In whatever order the leaves are added, each passes through at most (number of leaves - 1)
 * additions. To these come
 *
 *   4  lanes: a SIMD kernel may leave an exact sum spread over up to 16 lanes, accumulate these
 *      side by side and add them in a tree of depth 4 at the end (with r = 1 lanes are leaves);
 *   4  making a leaf: the conversion of a sum beyond 2^24, the product of the scales of weights
 *      and activations, that with the scale of a sub-block, the product with the sum;
 *   1  decoding: the reference rounds w = a + b to fp32 (types with b, and Q8_K); a kernel that
 *      keeps a and b apart does not. Every other decoder is exact: no significand exceeds 24 bits.
 *      With ASSAY_WEIGHT_F16 the class demands the w that the reference rounds to binary16. Where
 *      ASSAY_ACT_F16 comes with it, products are exact in fp32 (22 bits) and their sum is scaled by
 *      a power of two: fewer roundings than are counted here.
 *
 * With n their sum, |got - Σ w·x̂| <= γ_n·M, M = Σ (|a|+|b|)·|x̂| (Higham, (3.5), the length
 * replaced by the count of roundings). M is known to a relative 2u, as it comes from the rounded
 * w, and yq to some 2^-51·M: one more in n pays for both, since γ_(n+1) >= γ_n·(1 + 1/n) and
 * γ_(n+1) >= γ_n + u, as long as n < 2^22.
 *
 * Underflow. What a product loses to underflow is scaled up by what it is multiplied with later.
 * If d_w·d_x comes first, that is a sum of r terms |s·q·q_x| <= 2^12·2^7 (the largest s·q of any
 * type is Q6_K's 128·32); for the product after it, 16 lanes times s <= 2^7. With r = 1 it is at
 * most 2^20: a scale d <= 65504 times an odd number below 16 (IQ1_S, x/8 before the scale). So no
 * more than η·2^20 for each element of a leaf, and twice that for the roundings after it:
 * leaves·r·2^-129 in all.
 *
 * Shifted codes (ASSAY_WEIGHT_SHIFTED). The sums are of (c + 128)·x̂ and 128·x̂ times d, where M
 * counts |c·x̂|·d: at most 257·d·|x̂| each. A group whose largest code is the largest that its type
 * has, 7 or more, has w_max >= 7·d, so 37·coarse stands for what comes on top of M. A group that
 * makes less use of its range is judged more strictly than a shifted kernel can promise; no
 * quantiser makes any but of zeros.
 *
 * Weights rounded anew (ASSAY_WEIGHT_Q8). A group of weights of magnitude at most w_max becomes
 * codes times w_max/c, c between 124 and 127: each code is off by half a unit, w_max/248 at most.
 * The scale (and with it a and b) is rounded to binary16, which is off by a relative 2^-11 (its
 * unit roundoff), or where it is subnormal by 2^-25 for each unit of a code. So the error grows by
 * at most coarse/248 + 2^-11·(M + coarse/248) + 127·2^-25·Σ|x̂|, which is stated a little larger.
 * Such a scale has the range of binary16: what overflows there is held to the reference all the
 * same.
 *
 * Overflow. Sums of leaves are bounded by M. What precedes them is not: d·s·x <= 2^16·2^7·|x| with
 * a code of zero, or Σ q·x <= 2^12·Σ|x| before the scale. Either can overflow only if 2^23·Σ|x̂|
 * does. Two cases stay out: scales of MXFP4 and Q8_K have the range of fp32, and a kernel that
 * makes a NaN of an overflowing d_w·d_x times a run of zero codes is held to the reference's 0, one
 * that sums codes before it scales to the infinity of a code times d_w that the decoder makes. */
#include "bounds.h"

#include <float.h>
#include <math.h>

static double leaf_count(const struct assay_arith *a, const struct assay_type_traits *t, size_t k) {
    bool splits = t->min_terms && a->weight != ASSAY_WEIGHT_F16;
    return ceil((double)k / a->exact_run) * (splits ? 2 : 1);
}

double assay_path_roundings(const struct assay_arith *a, const struct assay_type_traits *t,
                            size_t k) {
    const double lane_depth = a->exact_run > 1 ? 4 : 0;
    const double leaf_roundings = 4;
    const double decode_roundings = 1;

    return leaf_count(a, t, k) - 1 + lane_depth + leaf_roundings + decode_roundings;
}

double assay_bound(const struct assay_arith *a, const struct assay_type_traits *t, size_t k,
                   const struct assay_ref_elem *e) {
    const double u = 0x1p-24;
    const double reference_slack = 1;

    double leaves = leaf_count(a, t, k);
    double n = assay_path_roundings(a, t, k) + reference_slack;
    if (k == 0)
        return 0.0;
    if (n >= 0x1p22)
        return INFINITY;

    double gamma = n * u / (1 - n * u);
    double underflow = leaves * a->exact_run * 0x1p-129;
    double bound = gamma * (e->mag + 37 * e->coarse) + underflow;
    if (a->weight == ASSAY_WEIGHT_Q8)
        bound += e->coarse / 247 + 0x1.01p-11 * e->mag + 0x1p-18 * e->xabs;
    bool overflows = e->mag + bound > FLT_MAX || 0x1p23 * e->xabs > FLT_MAX;
    return overflows ? INFINITY : bound;
}

bool assay_within_bound(const struct assay_ref_elem *e, double bound, float got, double *excess) {
    if (!isfinite(e->yq)) {
        *excess = isfinite(got) ? INFINITY : 0.0;
        return !isfinite(got);
    }
    *excess = 0.0;
    double error = fabs((double)got - e->yq);
    if (isinf(bound) || error == 0.0)
        return true;
    *excess = isfinite(got) ? error / bound : INFINITY;
    return error <= bound;
}
