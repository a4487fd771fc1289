"""What is wrong with the machine: found before money is spent, and told to a person who asks.

`preflight` refuses a call that would fail for certain; `doctor` looks closer, also at what may
work after all. Nothing here sends the key, or anything that is paid for.
"""
