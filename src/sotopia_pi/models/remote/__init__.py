"""Models behind an OpenAI-compatible HTTP endpoint: `opening.Remotes` opens them by their spec.

spec.py reads specs and keys.py finds keys; client.py asks, with what transport.py sends, retries.py and failures.py
decide, limits.py and endpoints.py spread, structured.py writes, replies.py and complaints.py read; prices.py and
ledger.py count the money.
"""
