"""Evaluation: score outcomes, test what the scores show, and write the report. Nothing here sends a row's request again."""
