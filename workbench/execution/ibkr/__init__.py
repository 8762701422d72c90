"""The broker: Interactive Brokers through ib_insync or ib_async, whichever is installed.

Of the library its wire client, its decoder and its plain data classes are used, which speak TWS's protocol without
blocking; not its `IB` and `Wrapper`, which keep a picture of orders that the wire contradicts.
"""
