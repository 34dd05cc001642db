"""Expense reports: people decide, a budget is reserved, money is brought and paid out, and all of it is proven."""
