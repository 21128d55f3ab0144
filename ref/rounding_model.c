/* How far a correct kernel strays as a rule.
 *
 * The worst case adds up every rounding error with the same sign and every partial sum at its
 * largest: γ_n·Σ|w·x|, of the order n·√n·u·Q for Q² = Σ (w_k·x_k)². Neither happens. Rounding
 * errors behave as random numbers of mean zero, whatever the ones before were (Higham and Mary, "A
 * New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5), 2019, whose
 * bound is λ·√n·u for n·u; Connolly, Higham and Mary, "Stochastic Rounding and Its Probabilistic
 * Backward Error Analysis", SIAM J. Sci. Comput. 43(1), 2021, for mean-independence in the place of
 * independence); and sums of products of random sign grow like Q, not like Σ|w·x| (Higham and Mary,
 * "Sharper Probabilistic Backward Error Analysis for Basic Linear Algebra Kernels with Random
 * Data", SIAM J. Sci. Comput. 42(5), 2020). The signs are no assumption here: whoever uses this
 * model draws them.
 *
 * Model. For given data the error is e = Σ ε_t over the roundings t, each of a partial sum s_t (a
 * product is a sum of one) of the products in a set T_t, with |ε_t| <= u·|s_t| and
 * E[ε_t | ε_1 … ε_(t-1)] = 0. No distribution is assumed: where ε is uniform in the half-ulp, the
 * variance is at most a third of what follows. The x̂_k have independent fair signs, independent of
 * their magnitudes and of everything about the kernel.
 *
 * Variance. E s_t² = q(T_t), the sum of q_k² over T_t with q_k = (|a_k|+|b_k|)·|x̂_k| (a_k and b_k
 * may be summed apart). A product passes through at most D = assay_path_roundings roundings, so Σ_t
 * q(T_t) <= D·Q², and e, a sum of uncorrelated terms, has E e² <= σ² = u²·D·Q². The order of
 * summation does not enter. D is taken one larger, which pays for the partial sums' own errors and
 * for yq's.
 *
 * Rounding errors that outputs share (of a decoded weight, of a sum of activations) change nothing
 * for one output. Over outputs, only independence between rows of x is used below, for fixed
 * weights.
 *
 * Tail. Let z = e/σ and |λ| < 1. By Hoeffding's lemma for martingale differences (Azuma), for given
 * data, E exp(λz) <= exp(λ²·W/2), W = Σ_t s_t²/(D·Q²). A sum of independent fair signs times
 * constants is sub-Gaussian, so E exp(θ·s_t²/q(T_t)) <= (1-2θ)^-½ for 0 <= θ < ½. W is a weighted
 * mean of s_t²/q(T_t) and 0 with weights q(T_t)/(D·Q²); exp is convex, so E exp(θW) <= (1-2θ)^-½
 * too (Jensen), and with θ = λ²/2
 *
 *     E exp(λ|z|) <= E exp(λz) + E exp(-λz) <= 2·(1-λ²)^-½.
 *
 * Mean of |z|. By convexity again the same holds for the mean of |z| over any outputs of one row of
 * x, dependent as they are (Hoeffding, "Probability Inequalities for Sums of Bounded Random
 * Variables", J. Amer. Stat. Assoc. 58, 1963, section 5). Rows are independent: over n rows
 * P(mean >= t) <= (2·(1-λ²)^-½·e^(-λt))^n for any λ, which is e^-nats at
 *
 *     t = (nats/n + ln 2 - ½·ln(1-λ²)) / λ.
 *
 * Symmetry. Rounding to nearest is odd, and so is a kernel made of it: with the signs of a row of x
 * reversed its errors are reversed, exactly. So errors are symmetric whatever their distribution,
 * and independent over rows. For symmetric U, given |U|, Hoeffding's inequality for the signs alone
 * gives P(|ΣU| >= λ·sqrt(ΣU²)) <= 2·exp(-λ²/2) (Efron, "Student's t-Test under Symmetry
 * Conditions", J. Amer. Stat. Assoc. 64, 1969). */
#include "rounding_model.h"

#include <float.h>
#include <math.h>

#include "bounds.h"

double assay_rounding_sigma(const struct assay_arith *a, const struct assay_type_traits *t,
                            size_t k, const struct assay_ref_elem *e) {
    const double u = 0x1p-24;
    const double reference_slack = 1;

    if (k == 0 || a->weight >= ASSAY_WEIGHT_SHIFTED || !isfinite(e->yq) ||
        !(0x1p23 * e->xabs <= FLT_MAX) || !(e->mag <= 0.5 * FLT_MAX))
        return 0.0;
    /* assay_bound grants underflow k·2^-129 or a little more: nothing beside u·Q from here on. */
    double q = sqrt(e->sq);
    if (!(q >= (double)k * 0x1p-80))
        return 0.0;
    return u * sqrt(assay_path_roundings(a, t, k) + reference_slack) * q;
}

double assay_limit_mean_abs(size_t units, double nats) {
    enum { STEPS = 256 };
    double least = INFINITY;

    for (int i = 1; i < STEPS; i++) { /* every λ gives a limit */
        double lambda = (double)i / STEPS;
        double t = (nats / (double)units + log(2) - 0.5 * log1p(-lambda * lambda)) / lambda;
        least = fmin(least, t);
    }
    return least;
}

double assay_limit_symmetric(double nats) { return sqrt(2 * (nats + log(2))); }

double assay_limit_mean_sign(size_t units, double nats) {
    return sqrt(2 * (nats + log(2)) / (double)units);
}
