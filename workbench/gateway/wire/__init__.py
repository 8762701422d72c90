"""The TWS API on the wire at server version 176: bytes to typed messages and back. It knows no market and no account.

frames.py frames and the handshake; messages.py what a client asks and requests.py how it is read; contracts.py,
orders.py what both sides speak of; replies/ what the gateway answers; times.py how a time is spelled.
"""
