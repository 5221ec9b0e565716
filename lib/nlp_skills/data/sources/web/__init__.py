"""What the sources `api` and `web_scrape` share: a guarded HTTP client, and how to read what servers answer.

addresses  →  connections  →  client  →  api         paging, records, answer_cache
(which)       (to where)      (limits)   web_scrape  robots, sitemaps, charset, article, repeated_lines
"""
