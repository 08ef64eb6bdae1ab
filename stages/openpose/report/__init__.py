"""The page of results.

In: metrics, tables, logs and images that the stages left. Out: one HTML page and Markdown.
"""
