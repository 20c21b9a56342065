"""What a benchmark gives us to do: conversations, users, an attack, a market, a model that answers at once"""
