"""What an unmodified client library must get out of the gateway: the same checks for ib_insync and ib_async.

Needs the library and nothing else, so that it runs in an environment of its own: ``python -m ib_checks ib_async 4002
instruments`` prints what failed as JSON.
"""
