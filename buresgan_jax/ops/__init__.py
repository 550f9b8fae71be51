"""Operations with fast forms for a CPU."""
