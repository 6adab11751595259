"""AutoTuning: every constant of mode auto, named, with its unit and why it has its value. Knows nothing else.

The values were found by measuring on a CPU and by simulation on recorded drafts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AutoTuning:
    """The constants of mode auto, in the order in which a request meets them.

    Choosing (chooser.py, throughput.py). A choice is a length of drafts, 0 for single tokens. Another choice must be
    `1 + switch_gain + switch_gain_per_request * (requests - 1)` times as fast as the last one. Drafts must be
    `1 + draft_gain_per_request * requests` times as fast as single tokens where several requests decode: the best of
    many estimates promises too much, and the more rows a call has, the less a right choice of drafts gains.

    Attributes:
        draft_lengths: tokens; the lengths to choose among, as far as the model and the request allow them.
        single_steps_kept: steps for which a choice of single tokens is kept.
        drafts_kept: drafts for which a choice with drafts is kept.
        switch_gain: relative gain that another choice needs, since a switch costs a padded call.
        switch_gain_per_request: the same for each further request: a call is as wide as its longest draft.
        draft_gain_per_request: relative gain over single tokens that drafts need, per request of several.
        crowd_limit: requests from which on neither gain grows.
        longer_draft_factor: factor by which a longer draft must beat a shorter one among several requests.
        crowd_growth: times as many requests at which the last choice, made for fewer, is not kept.
        crowd_change: share of the requests that may come and go before the choice is made again.
        overhead_rate: weight of the latest step in the average of what surrounds an engine call.
        trial_after_tokens: single tokens after which one draft is tried again, per request that waits for it; doubles
            with each trial.
        trial_after_tokens_known: the same where enough is known of similar requests.
        trusted_verifications: verifications of similar requests that are enough to be trusted.
        forced_trial_factor: after this many times the wait, a trial is made even if the cost curve predicts a loss:
            the cost of calls that were never made is a guess.
        trial_draft_length: tokens; the longest draft of a trial.

    Free drafts (free_drafts.py), which no pass makes.

    Attributes:
        free_draft_lengths: tokens of a verification to choose among, as far as the draft is that long.
        free_draft_gain: relative gain that verifying free drafts needs.

    Quadratic passes (shapes.py, ahead.py), which verify a draft and make the next one.

    Attributes:
        shape_lengths: tokens of the longest draft; the lengths to choose among, as far as the model allows them.
        mask_prices: expected tokens that a mask must be worth in the shapes to choose among; 0 is the released shape.
        price_stride: of these, every third is tried with every length.
        ahead_weight: refusals that the first guess counts for: drafts made ahead are refused as often as others.
        ahead_fading: factor on the older refusals at each verification.
        ahead_forgetting: factor by which what was found returns to the first guess with each request.
        ahead_most: most times as often as others that such drafts may be taken to be refused.
        ahead_gain: relative gain over the best other choice that quadratic passes need.
        shapes_kept: shapes remembered by what they were chosen for; when there are more, all are worked out again.
        shapes_renewed: choices after which one is worked out again, since costs change.
        shape_wait: choices between two that are worked out, which takes milliseconds: about a hundredth of the time of
            the passes between them.
        shape_marks: lengths of draft whose expected runs say what a shape was chosen for.
        shape_step: relative step in which expected runs are rounded to find a shape that was chosen before.

    What drafts are worth (acceptance.py). A token's chance is a request's own counts plus a prior.

    Attributes:
        first_acceptance: chance that a drafted token is right while nothing is known: drafts are tried, and soon known.
        first_acceptance_weight: drafted tokens that this chance counts for.
        prior_weight: verifications that the prior counts for at each place of the draft.
        answer_range_tokens, answer_ranges: tokens of a range of the answer, and how many ranges there are: runs are
            counted by where in the answer they begin, because similar answers often end alike.
        range_prior_weight: trials in a range that all ranges together count for.
        refusals_known, refusals_unknown: weight of the expected refusal rate, in refusals, at similarity 1 and 0.
        place_prior_weight: trials at a place of the draft that all places together count for.

    Similar requests (similar_requests.py).

    Attributes:
        requests_kept: requests remembered, the latest.
        prompt_tokens_read: tokens of a prompt that it is compared by, the last ones, where the question stands.
        token_buckets: token ids are distinguished by their remainder; enough that two long prompts without a common
            token look different.
        least_rarity: least inverse document frequency of a token that all prompts have: between equal prompts these
            tokens are all there is.
        refresh_first, refresh_every: requests; all rarities are recomputed after each of the first, then after every
            so many.
        nearest_requests: most requests that a prior is made of.
        least_similarity: cosine below which a prompt says nothing about another.
        nearest_weight: requests that the nearest count for together at most.
        most_per_request: requests that each of the nearest counts for at most.
        everyone_weight: requests that the average of all counts for.
        everyone_fading: factor on the older counts of that average at each new request.

    What calls cost (cost_curve.py, cost_benchmark.py).

    Attributes:
        grid_rows, grid_tokens: rows, and tokens per row, of the calls measured; between them the logarithm is
            interpolated.
        grid_most: tokens of the largest call of passes longer than blocks, as no call over blocks has more.
        measured_at_entries: cache entries that a measured row sees.
        growth_at_entries: cache entries at which the growth with the cache's capacity is measured.
        repeats: timed calls of each kind; their median counts.
        reference_tokens: tokens per row of the calls whose growth, and cost per token, stand for all blocks.
        least_share: least share of a measured cost that an estimate may have.
        budget_seconds: seconds after which the measurement ends. Three calls are made in any case, because all others
            can be estimated from them.
        learning_rate: share of the log-ratio observed/predicted that the curve takes over.
        largest_surprise: log-ratio to which a surprise is clipped, both ways.
        shared_drift: share of a step that moves the whole curve: a slower machine is slower at other calls, too.
        refresh_calls: observed calls after which estimates are worked out again.
        observe_every: steps of which one is observed; drafts and verifications alternate, so it must be odd.
    """

    draft_lengths: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    single_steps_kept: int = 8
    drafts_kept: int = 2
    switch_gain: float = 0.03
    switch_gain_per_request: float = 0.01
    draft_gain_per_request: float = 0.015
    crowd_limit: int = 16
    longer_draft_factor: float = 1.02
    crowd_growth: int = 2
    crowd_change: float = 0.25
    overhead_rate: float = 0.1
    trial_after_tokens: int = 16
    trial_after_tokens_known: int = 96
    trusted_verifications: float = 8.0
    forced_trial_factor: int = 8
    trial_draft_length: int = 8

    free_draft_lengths: tuple[int, ...] = (2, 4, 8, 16, 32)
    free_draft_gain: float = 0.02

    shape_lengths: tuple[int, ...] = (4, 8, 16, 32)
    price_stride: int = 3
    mask_prices: tuple[float, ...] = (0.0, *(0.001 * 1.6**power for power in range(14)))
    ahead_weight: float = 3.0
    ahead_fading: float = 0.98
    ahead_forgetting: float = 0.995
    ahead_most: float = 4.0
    ahead_gain: float = 0.03
    shapes_kept: int = 64
    shapes_renewed: int = 1024
    shape_wait: int = 16
    shape_marks: tuple[int, ...] = (4, 32)
    shape_step: float = 0.25

    first_acceptance: float = 0.9
    first_acceptance_weight: float = 3.0
    prior_weight: float = 3.0
    answer_range_tokens: int = 16
    answer_ranges: int = 8
    range_prior_weight: float = 1.0
    refusals_known: float = 4.0
    refusals_unknown: float = 0.5
    place_prior_weight: float = 1.0

    requests_kept: int = 256
    prompt_tokens_read: int = 256
    token_buckets: int = 4096
    least_rarity: float = 0.1
    refresh_first: int = 16
    refresh_every: int = 32
    nearest_requests: int = 6
    least_similarity: float = 0.15
    nearest_weight: float = 10.0
    most_per_request: float = 2.0
    everyone_weight: float = 0.25
    everyone_fading: float = 0.9

    grid_rows: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    grid_tokens: tuple[int, ...] = (1, 4, 8, 16, 32, 64, 128, 256)
    grid_most: int = 512
    measured_at_entries: int = 96
    growth_at_entries: int = 768
    repeats: int = 3
    reference_tokens: int = 32
    least_share: float = 0.1
    budget_seconds: float = 0.5
    learning_rate: float = 0.1
    largest_surprise: float = 0.4
    shared_drift: float = 0.5
    refresh_calls: int = 8
    observe_every: int = 3

    def __post_init__(self) -> None:
        """Check what the code relies on."""
        assert self.observe_every % 2 == 1
        assert (self.grid_rows[0], self.grid_tokens[0]) == (1, 1)

    def needed_factor(self, requests: int) -> float:
        """Return how many times as fast as the last choice another must be for `requests` requests."""
        return 1.0 + self.switch_gain + self.switch_gain_per_request * (min(requests, self.crowd_limit) - 1)

    def needed_draft_factor(self, requests: int, *, drafting_is_new: bool) -> float:
        """Return how many times as fast as single tokens drafts must be; more if single tokens were the last choice."""
        gain = 1.0 + self.draft_gain_per_request * min(requests, self.crowd_limit) if requests > 1 else 1.0
        return max(gain, self.needed_factor(requests)) if drafting_is_new else gain

    def answer_range(self, at: int) -> int:
        """Return the range of the answer in which position `at` lies, counted from 1; 0 is the whole answer."""
        return 1 + min(at // self.answer_range_tokens, self.answer_ranges - 1)


TUNING = AutoTuning()
"""The values in use."""
