"""How an answer is declared, by language: data for the scorers number and choice.

The nouns with a colon are those of simple-evals' MULTILINGUAL_ANSWER_REGEXES (github.com/openai/simple-evals, common.py); the words
between noun and answer ("is") and the words of negation are common grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Noun of the answer; words that link it to the answer. Longer words stand before those that they begin with.
NOUNS: Mapping[str, tuple[str, ...]] = {
    "en": ("answer",),
    "de": ("Antwort", "Lösung"),
    "fr": ("réponse", "reponse"),
    "es": ("respuesta",),
    "pt": ("resposta",),
    "it": ("risposta",),
    "nl": ("antwoord",),
    "pl": ("odpowiedź", "odpowiedz"),
    "ru": ("ответ",),
    "uk": ("відповідь",),
    "tr": ("cevap", "yanıt"),
    "id": ("jawabannya", "jawaban"),
    "vi": ("đáp án", "câu trả lời"),
    "sw": ("jibu",),
    "yo": ("ìdáhùn", "idáhùn", "idahun", "àdáhùn"),
    "hi": ("उत्तर",),
    "bn": ("উত্তরঃ", "উত্তর"),
    "ar": ("الإجابة", "الجواب", "إجابة"),
    "fa": ("پاسخ",),
    "he": ("התשובה",),
    "el": ("απάντηση",),
    "ro": ("răspunsul", "răspuns"),
    "cs": ("odpověď",),
    "hu": ("válasz",),
    "sv": ("svaret", "svar"),
    "fi": ("vastaus",),
    "bg": ("отговорът", "отговор"),
    "sr": ("odgovor", "одговор"),
    "ur": ("جواب",),
    "ta": ("பதில்", "விடை"),
    "ka": ("პასუხი",),
    "hy": ("պատասխանը", "պատասխան"),
    "am": ("መልስ", "መልሱ"),
    "th": ("คำตอบ",),
    "zh": ("答案", "答复", "答曰", "答"),
    "ja": ("答え", "回答", "解答", "正解"),
    "ko": ("정답", "답변", "답"),
}
LINKS: Mapping[str, tuple[str, ...]] = {
    "en": ("is", "are", "was", "be", "equals"),
    "de": ("ist", "lautet", "wäre"),
    "fr": ("est", "sera"),
    "es": ("es", "será"),
    "pt": ("é",),
    "it": ("è",),
    "nl": ("is",),
    "pl": ("to", "jest", "brzmi"),
    "ru": ("это", "—", "–"),
    "uk": ("це", "—", "–"),
    "tr": (),
    "id": ("adalah", "ialah"),
    "vi": ("là",),
    "sw": ("ni",),
    "hi": ("है",),
    "ar": ("هي", "هو"),
    "fa": ("است",),
    "he": ("היא",),
    "el": ("είναι",),
    "ro": ("este",),
    "sv": ("är",),
    "bg": ("е",),
    "sr": ("је",),
    "ur": ("ہے",),
    "ka": ("არის",),
    "th": ("คือ",),
    "zh": ("应该是", "應該是", "应为", "是", "为", "為", "选", "選"),
    "ja": ("は",),
    "ko": ("은", "는"),
}
DENIALS: Mapping[str, tuple[str, ...]] = {
    "de": ("nicht", "falsch", "kein"),
    "fr": ("pas", "faux", "fausse", "incorrecte", "incorrect"),
    "es": ("no", "incorrecta", "incorrecto", "falsa"),
    "pt": ("não", "incorreta", "errada"),
    "it": ("non", "errata", "sbagliata"),
    "ru": ("не", "неверно", "неверный", "неверны", "неправильный"),
    "uk": ("не", "невірно", "неправильна"),
    "el": ("δεν είναι", "όχι", "λάθος"),
    "ar": ("ليس", "ليست", "غير", "خطأ"),
    "he": ("לא", "שגוי", "אינה", "אינו"),
    "th": ("ไม่ใช่",),
    "zh": ("不是", "不对", "不對", "错", "錯", "不选"),
    "ja": ("ではない", "ではありません", "間違い", "誤り"),
    "ko": ("아닙니다", "아니다", "틀렸", "틀린"),
}
"""Words that say of an option that it is not the one."""


def words(table: Mapping[str, Iterable[str]], *, without: Iterable[str] = ()) -> list[str]:
    """Return the words of a table, each once, the longest first, so that no pattern's alternative hides a longer one."""
    return sorted(
        {word for language, each in table.items() if language not in set(without) for word in each}, key=lambda word: (-len(word), word)
    )
