"""Judging by a model: what is asked, what the answers mean, and the scores and figures that are made of them. Nothing here sends."""
