import numpy as np
HIDDEN=np.zeros((8,30)); OUTPUT=np.zeros((2,9))
