"""Answers of odd forms over all kinds of scorers: what people and models write beside the clear cases."""

from __future__ import annotations

from typing import Any

import pytest

from batch.evaluation.scorers import KINDS
from batch.evaluation.scorers.sample import Sample

# kind, answer, right value, score (None: unscored), options
ROWS: list[tuple[str, str | None, Any, float | None, dict[str, Any]]] = [
    ("number", "The total comes to **$1,250.00**.", "1250", 1, {}),
    ("number", "≈ 3.14", "3.14", 1, {}),
    ("number", "x = 12, y = 7\nFinal answer: y = 7", "7", 1, {}),
    ("number", "The answer is 1/3 ≈ 0.333", "1/3", 1, {}),
    ("number", "**42**", "42", 1, {}),
    ("number", "42.", "42", 1, {}),
    ("number", "Therefore there are 15 (fifteen) apples.", "15", 1, {}),
    ("number", "The answer: $\\frac{3}{4}$ of 100 = 75", "75", 1, {}),
    ("number", "\\boxed{1{,}000}", "1000", 1, {}),
    ("number", "\\boxed{12 \\text{ cm}^2}", "12", 1, {}),
    ("number", "\\[ \\boxed{-7} \\]", "-7", 1, {}),
    ("number", "A: 1. First 5 apples\n2. Then 6 apples\nSo 11.", "11", 1, {}),
    ("number", "Réponse : 1 234,56 €", "1234.56", 1, {}),
    ("number", "Answer: 12 dozen", "144", 0, {}),
    ("number", "Rs. 1,00,000", "100000", 1, {}),
    ("number", "5 - 3 = 2", "2", 1, {}),
    ("number", "between 3 and 5, so 4", "4", 1, {}),
    ("number", "2024-05-01", "2024", 0, {}),
    ("number", "$5M", "5000000", 1, {}),
    ("number", "The answer is 12, not 13.", "12", 1, {}),
    ("number", "It was 8; however, after rechecking, the answer should be 9.", "9", 1, {}),
    ("number", "٤٢", "42", 1, {}),
    ("number", "الإجابة هي ٤٢", "42", 1, {}),
    ("number", "उत्तर: ४२", "42", 1, {}),
    ("number", "कुल ७२ है", "72", 1, {}),
    ("number", "III", "3", None, {}),
    ("number", "Step 5: done. The answer is 30%", "0.3", 1, {}),
    ("number", "1e-5", "0.00001", 1, {}),
    ("number", "3 × 10⁻²", "0.03", 1, {}),
    ("number", "0,5", "0.5", 1, {}),
    ("number", "The answer is **72 clips**.\n\nSource: page 14", "72", 1, {}),
    ("number", "<answer>18</answer> (see step 3)", "18", 1, {}),
    ("number", '{"answer": 18, "steps": 3}', "18", 1, {}),
    ("number", "Final Answer\n\n18\n\nConfidence: 95%", "18", 1, {}),
    ("number", "The answer is 18. (Checked in 2 ways.)", "18", 1, {}),
    ("exact", "Paris\n", "paris", 1, {}),
    ("exact", "“Paris”", "Paris", 1, {}),
    ("exact", "PARIS!", "paris", 1, {}),
    ("exact", "São Paulo", "Sao Paulo", 0, {}),
    ("exact", "1.0", "1", 0, {}),
    ("contains", "The U.S.A. is", "USA", 0, {}),
    ("contains", "It's C++", "C++", 1, {}),
    ("contains", "東京です", "東京", 1, {}),
    ("contains", "not-for-profit", "profit", 1, {}),
    ("choice", "<answer>B</answer>", "B", 1, {}),
    ("choice", '{"answer": "B"}', "B", 1, {}),
    ("choice", "Final Answer: \\(\\boxed{\\text{B}}\\)", "B", 1, {}),
    ("choice", "The correct option is **B. Paris**, not A.", "B", 1, {}),
    ("choice", "B\n\nExplanation: A is close, but C is not.", "B", 1, {}),
    ("choice", "My choice: option (b)", "B", 1, {}),
    ("choice", "[B]", "B", 1, {}),
    ("choice", "$B$", "B", 1, {}),
    ("choice", "Answer is B, since A and C fail", "B", 1, {}),
    ("choice", "None of the above", "B", None, {}),
    ("choice", "A. I am sure about B being wrong", "A", 1, {}),
    ("choice", "I'd say A, though B is tempting.", "A", None, {}),
    ("choice", "The answer is either A or B; I lean towards B. Final: B", "B", 1, {}),
    ("label", "This is clearly spam.", "spam", 1, {"labels": ["spam", "ham"]}),
    ("label", "Not spam", "ham", None, {"labels": ["spam", "ham"]}),
    ("label", "Label: **ham**", "ham", 1, {"labels": ["spam", "ham"]}),
    ("label", "It is neither positive nor negative: neutral.", "neutral", 1, {"labels": ["positive", "negative", "neutral"]}),
    ("label", "positive/negative", "positive", None, {"labels": ["positive", "negative", "neutral"]}),
    ("label", '{"label": "ham"}', "ham", 1, {"labels": ["spam", "ham"]}),
    ("label", "I'd classify this as non-spam", "ham", None, {"labels": ["spam", "ham"]}),
    ("label", "The review is not positive; it's negative.", "negative", 1, {"labels": ["positive", "negative"]}),
    ("label", "Sentiment → negative", "negative", 1, {"labels": ["positive", "negative"]}),
    ("label", "1", "1", 1, {"labels": ["0", "1"]}),
    ("label", "The label is 10", "1", None, {"labels": ["0", "1"]}),
    ("json", 'Here: {"a":1}', "", 0, {}),
    ("json", '```json\n{"a":1}\n```', "", 1, {}),
    ("json_fields", "{'a': 1}", '{"a":1}', None, {}),
    ("json_fields", '{"a": "1"}', '{"a":1}', 1, {}),
    ("tool_call", "I'd call f(x=1)", '{"name":"f","arguments":{"x":1}}', 0, {}),
    ("regex", "Answer - 5", "5", 1, {"pattern": "[Aa]nswer\\W+(\\d+)"}),
    ("token_f1", "the cat", "a cat", 1, {}),
    ("rouge_l", "le chat noir", "Le chat noir.", 1, {}),
    ("number", "They meet at 17:00", "17", None, {}),
    ("number", "He had 5 hours, from 9:30 to 14:30", "5", 1, {}),
    ("number", "Final:\nHe bought 5 apples and ate 2, so 3", "3", 1, {}),
    ("number", "Final: $18", "18", 1, {}),
    ("number", "### Answer\n**1,200**\n\nSee section 4.", "1200", 1, {}),
    ("number", "<final_answer>5 + 3 = 8</final_answer>\nn = 2", "8", 1, {}),
    ("number", "<answer>unknown</answer> 7", "7", 1, {}),
    ("number", "<answer> = 5", "5", 1, {}),
]


@pytest.mark.parametrize(("kind", "text", "expected", "value", "options"), ROWS)
def test_odd_answers(kind: str, text: str | None, expected: Any, value: float | None, options: dict[str, Any]) -> None:
    """An answer of an odd form gets the score that a reader would give it, or none where a reader could not tell."""
    found = KINDS[kind].make(**options)(Sample(text, expected))
    assert found.value == value, found
