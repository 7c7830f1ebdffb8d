"""The shape of `[[score]]` and `[[gate]]`: one section per kind of scorer. The defaults of their options are the scorers' own."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field

from batch.job import score_structured
from batch.job.score_base import CASE, EXPECTED, ComparingSection, ScoreSection
from batch.job.section import Absent, NotNegative, PriceSection, Section, Text
from batch.settings import Metric


class ExactSection(ComparingSection):
    """The whole answer is the right value."""

    kind: Literal["exact"]
    case_sensitive: bool | Absent = Field(default=None, description=CASE)
    punctuation: bool | Absent = Field(default=None, description="Whether punctuation around the text counts.  [default: false]")
    articles: bool | Absent = Field(default=None, description="Whether a, an and the count.  [default: true]")
    squad: bool | Absent = Field(
        default=None, description="Whether texts are compared as SQuAD's exact match does, whatever the others say.  [default: false]"
    )


class ContainsSection(ComparingSection):
    """The answer contains the right value."""

    kind: Literal["contains"]
    case_sensitive: bool | Absent = Field(default=None, description=CASE)
    whole_words: bool | Absent = Field(default=None, description="Whether it must be a word or number of its own.  [default: true]")
    need: Literal["any", "all"] | Absent = Field(default=None, description="Of several right values: any of them, or all.  [default: any]")


class RegexSection(ScoreSection):
    """A pattern is found; with a right value: what it caught is that value."""

    kind: Literal["regex"]
    expected: Text | Absent = Field(default=None, description=EXPECTED)
    pattern: Text = Field(description="A regular expression of Python; the first of its groups that matched is what is compared.")
    ignore_case: bool | Absent = Field(default=None, description="Whether case is ignored.  [default: false]")
    which: Literal["first", "last"] | Absent = Field(default=None, description="Which match counts.  [default: last]")


class ChoiceSection(ComparingSection):
    """The answer takes the right one of lettered options."""

    kind: Literal["choice"]
    labels: Text | Absent = Field(
        default=None, description="The letters of the options, of any script.  [default: those of the right value's alphabet]"
    )
    need: Literal["any", "all"] | Absent = Field(
        default=None, description="Of several right options: any of them, or all of them and no other one.  [default: any]"
    )
    options: Text | Absent = Field(
        default=None, description="The column with the options' texts (a list, or a table by letter), so that these count too."
    )


class NumberSection(ComparingSection):
    """The answer's number is the right one."""

    kind: Literal["number"]
    tolerance: NotNegative | Absent = Field(default=None, description="How far it may be off.  [default: 0]")
    relative: NotNegative | Absent = Field(default=None, description="How far it may be off, as a share of the right value.  [default: 0]")
    percent: Literal["lenient", "strict"] | Absent = Field(
        default=None, description="Whether 60% is both 60 and 0.6, or only 0.6.  [default: lenient]"
    )
    decimal: Literal["auto", "point", "comma"] | Absent = Field(default=None, description="The decimal sign.  [default: auto]")
    which: Literal["last", "first", "only"] | Absent = Field(
        default=None, description="Which number counts where none is stated as the answer.  [default: last]"
    )
    pattern: Text | Absent = Field(
        default=None, description="A regular expression of Python: only what its last match caught is read, as the number."
    )


class MathSection(ComparingSection):
    """The answer is equal to the right one as a mathematical expression (by math-verify, of the extra promptmill[math])."""

    kind: Literal["math"]


class TokenF1Section(ComparingSection):
    """The F1 of words in common, as SQuAD has it."""

    kind: Literal["token_f1"]


class RougeSection(ComparingSection):
    """The longest common subsequence of words, as F1."""

    kind: Literal["rouge_l"]


class EditSection(ComparingSection):
    """1 less the edit distance as a share of the longer text."""

    kind: Literal["edit"]
    case_sensitive: bool | Absent = Field(default=None, description=CASE)


class BleuSection(ComparingSection):
    """BLEU of each answer, against all right values; the corpus BLEU is shown too."""

    kind: Literal["bleu"]
    language: Text | Absent = Field(
        default=None,
        description="The language of the answers, such as zh or ja: it chooses the tokenizer; by default one for words with spaces.",
    )
    tokenize: Text | Absent = Field(
        default=None, description="sacrebleu's tokenizer by name, such as intl or char; by default that of the language."
    )


class ChrfSection(ComparingSection):
    """chrF of each answer; the corpus chrF is shown too."""

    kind: Literal["chrf"]


class PythonSection(ScoreSection):
    """The score is what your own function returns; it runs with your rights."""

    kind: Literal["python"]
    expected: Text | Absent = Field(default=None, description=EXPECTED)
    function: Text = Field(description='"file.py:name", relative to this file; called as name(answer, expected, row), it gives 0 to 1.')


class EmbeddingSection(ComparingSection):
    """How near answer and right value are: the cosine of their embeddings, below 0 taken as 0. `promptmill score` calls the model."""

    kind: Literal["embedding"]
    model: Text = Field(description="The model that embeds, PROVIDER/MODEL.")
    threshold: Annotated[float, Field(ge=-1, le=1)] | Absent = Field(
        default=None, description="The cosine from which an answer is right, all others being wrong.  [default: the cosine is the score]"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Request parameters of the model, such as dimensions.")
    price: PriceSection | Absent = Field(
        default=None, description="US dollars for a million tokens of the model: {input = 0.02}. [default: the list price, if known]"
    )


class JudgingSection(ScoreSection):
    """A model judges: `promptmill score` calls it once for each answer."""

    judge: Text | Annotated[list[Text], Field(min_length=2)] = Field(
        description="The model that judges, PROVIDER/MODEL; several in a list judge everything each, and the score is their panel's."
    )
    vote: Literal["mean", "median", "majority"] | Absent = Field(
        default=None, description="With several judges: what becomes of their votes, as for a panel.  [default: mean]"
    )
    rubric: Text | Absent = Field(
        default=None,
        description="What makes an answer good: a template over the row's columns, question, expected, completion (pairs: first, second).",
    )
    expected: Text | Absent = Field(default=None, description=f"{EXPECTED} The judge is shown it.")
    question: Text | Absent = Field(
        default=None,
        description="What was asked: a column, or a template.  [default: the last user message of the first model]",
    )
    images: Text | Annotated[list[Text], Field(min_length=1)] | Absent = Field(
        default=None, description="The column of pictures, or a list of columns, that the judge sees beside question and answer."
    )
    template: Text | Absent = Field(
        default=None,
        description="The judge's whole prompt, but for the form of its verdict: a template with what rubric may have, and rubric.",
    )
    reasons: bool | Absent = Field(default=None, description="Whether reasons come before the verdict.  [default: true]")
    structured: bool | Absent = Field(
        default=None, description="Whether a JSON Schema is sent as response_format.  [default: where the provider takes it]"
    )
    retries: Annotated[int, Field(ge=0, le=10)] | Absent = Field(
        default=None, description="How often a verdict that cannot be read is asked for again.  [default: 2]"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Request parameters of the judge, such as temperature.")
    price: PriceSection | Absent = Field(
        default=None,
        description="US dollars for a million tokens of the judge: {input = 1.25, output = 10.0}. [default: the list price, if known]",
    )


class JudgeSection(JudgingSection):
    """A model rates each answer on a scale."""

    kind: Literal["judge"]
    scale: Annotated[dict[Annotated[str, Field(pattern=r"^-?\d{1,4}$")], Text], Field(min_length=2)] | Absent = Field(
        default=None, description="What each step of the rating means, by its whole number.  [default: 1 (wrong) to 5 (right)]"
    )
    criteria: Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")], Text], Field(min_length=2)] | Absent = Field(
        default=None, description='What is rated one by one in one call, by name: {clear = "...", polite = "..."}; the score is their mean.'
    )


class PairwiseSection(JudgingSection):
    """A model says which of two answers is better, each pair in both orders; a disagreement of the orders is a tie."""

    kind: Literal["pairwise"]
    baseline: Text | Absent = Field(default=None, description="The variant that all others are judged against.  [default: all pairs]")


class PanelSection(ScoreSection):
    """Several other scores of the same answers as one, such as those of several judges, with their agreement (Krippendorff's alpha)."""

    kind: Literal["panel"]
    of: Annotated[list[Text], Field(min_length=2)] | Annotated[dict[Text, Annotated[float, Field(gt=0)]], Field(min_length=2)] = Field(
        description="The names of the scores that vote; or a table of scores with weights, for a weighted mean of answers with all of them."
    )
    vote: Literal["mean", "median", "majority"] | Absent = Field(
        default=None, description="What becomes of their votes; a majority counts scores above and below one half.  [default: mean]"
    )


# By kind, in the order of the two files: a new kind of score is a section and nothing more here.
SCORES: dict[str, type[ScoreSection]] = {
    get_args(section.model_fields["kind"].annotation)[0]: section
    for section in (*globals().values(), *vars(score_structured).values())
    if isinstance(section, type) and issubclass(section, ScoreSection) and "kind" in section.model_fields
}

if TYPE_CHECKING:
    AnyScore = ScoreSection
else:
    AnyScore = reduce(or_, SCORES.values())


class GateSection(Section):
    """A bound on a score; when it is broken, score and compare end with exit code 3."""

    score: Text = Field(description="The name of the score.")
    metric: Metric = Field(
        default="strict", description="The strict score, the coverage, or the difference of the strict score to that of `against`."
    )
    variant: Text | Absent = Field(default=None, description="The variant that is tested; by default each one.")
    against: Text | Absent = Field(default=None, description="For metric = difference: the variant that the others are compared with.")
    min: Annotated[float, Field(ge=-1, le=1)] | Absent = Field(
        default=None, description="The lower end of the 95 % interval must reach this; from 0 to 1 (for a difference: from -1)."
    )
    max: Annotated[float, Field(ge=-1, le=1)] | Absent = Field(
        default=None, description="The upper end of the 95 % interval must not exceed this."
    )
    baseline: Text | Absent = Field(
        default=None,
        description="An earlier run directory, or a file of score --save-baseline: min and max then bound the difference to it.",
    )
    max_worse_rows: Annotated[int, Field(ge=0)] | Absent = Field(
        default=None, description="With baseline: how many rows may score lower than there, as those that newly fail do."
    )
